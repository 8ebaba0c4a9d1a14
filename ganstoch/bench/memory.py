"""How much memory an iteration takes, counted without running one."""

import copy
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self.count, result)
        return result

    def count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def peak_bytes(gan: GAN, *, m: int, micro_batch: int | None) -> int:
    """Most bytes that tensors hold at once in an iteration of m images, weights included."""
    trainer = getattr(gan, "_trainer", None)
    meta = copy.deepcopy(gan, {id(trainer): None}).to("meta")  # without what it is attached to
    optimizers = meta.configure_optimizers()
    with _LiveBytes() as bytes_:
        for tensor in [*meta.parameters(), *meta.buffers()]:
            bytes_.count(tensor)
        kind = torch.uint8 if len(meta.shape) == 3 else torch.float32
        group, dtype = meta.remedies.spec.pack, next(meta.generator.parameters()).dtype
        count = -(-m // group) * group
        for iteration in range(2):  # the first makes the optimizers' moments, the second is whole
            pixels = torch.empty((count, *meta.shape), dtype=kind, device="meta")
            z = torch.empty((count, meta.generator.latent_dim), device="meta")
            ids = torch.empty(count, dtype=torch.int64, device="meta")
            batch = Batch(pixels=pixels, ids=ids, size=m, labels=ids)
            parts = split(batch, z, micro_batch=micro_batch, dtype=dtype, group=group)
            draws = [parts] * (sum(meta.remedies.spec.updates) - 1)
            meta.train_iteration(draws, *optimizers, iteration=iteration)
    return int(bytes_.peak)
