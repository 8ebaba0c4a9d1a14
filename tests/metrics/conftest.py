"""A network with random weights, and FAISS as if there were GPUs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The FID network with random weights: 96 MB on disk, none of them downloaded."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
            pass

    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save({}, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Unloaded("x", ["2048"], feature_extractor_weights_path=str(path))
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # the default draw lets features vanish
                nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


class GPUBuild:
    """FAISS as if it had GPUs: what it is called with, not what a GPU computes."""

    __version__ = "1.15.1"

    def __init__(self, faiss: Any, count: int) -> None:
        self.faiss, self.count, self.split = faiss, count, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.faiss, name)

    class StandardGpuResources:
        def setTempMemory(self, size: int) -> None:
            assert size == 2**28

    class GpuMultipleClonerOptions:
        shard = False

    def get_num_gpus(self) -> int:
        return self.count

    def knn_gpu(
        self, _: object, query: np.ndarray, bank: np.ndarray, k: int, *, metric: int, device: int
    ) -> Any:
        assert device == 0
        return self.faiss.knn(query, bank, k, metric=metric)

    def index_cpu_to_gpu_multiple_py(self, resources: list[Any], index: Any, options: Any) -> Any:
        """Splits the members as `ToGpuClonerMultiple::clone_Index_to_shards` of FAISS does."""
        assert (options.shard, len(resources)) == (True, self.count)
        flat, self.split = isinstance(index, self.faiss.IndexFlat), self.split + 1
        shards = self.faiss.IndexShards(index.d, True, flat)
        for i in range(self.count):
            edges = [index.ntotal * j // self.count for j in (i, i + 1)]
            if flat:
                part = self.faiss.IndexFlat(index.d, index.metric_type)
                part.add(index.reconstruct_n(edges[0], edges[1] - edges[0]))
            else:
                centroids = self.faiss.clone_index(index.quantizer)
                part = self.faiss.IndexIVFFlat(centroids, index.d, index.nlist)
                part.nprobe = index.nprobe
                index.copy_subset_to(part, self.faiss.InvertedLists.SUBSET_TYPE_ID_RANGE, *edges)
            shards.add_shard(part)
        return shards


@pytest.fixture
def gpu_build() -> Callable[[int], Any]:
    """FAISS with so many GPUs, for `load_faiss` to return."""
    faiss = pytest.importorskip("faiss")
    return lambda count: GPUBuild(faiss, count)
