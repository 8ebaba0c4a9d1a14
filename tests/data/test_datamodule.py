import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.data import ArrayImages, ImageSet, Sampling, Source
from ganstoch.data.datamodule import ImageData
from ganstoch.data.subset import BatchSize
from ganstoch.errors import UserError
from ganstoch.types import Split


class Toy(Source):
    """Images whose pixels are their position: training 0 .. 99, held out 200 .. 209."""

    name = "toy"
    summary = "for tests"

    def __init__(self, own_held_out: bool = True) -> None:
        self.own_held_out = own_held_out

    def open(self, root: Path, split: Split) -> ImageSet | None:
        if split == "held_out" and not self.own_held_out:
            return None
        values = torch.arange(100) if split == "train" else torch.arange(200, 210)
        pixels = values.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
        return ArrayImages(pixels, split=split)


def ready(root: Path, *, own_held_out: bool = True, **settings: Any) -> ImageData:
    data = ImageData(Toy(own_held_out), root=root, **({"n": 40} | settings))
    data.setup("fit")
    return data


@pytest.fixture
def data(tmp_path: Path) -> ImageData:
    return ready(tmp_path, m="n/4", seed=7, subset_seed=3)


@pytest.mark.parametrize(("m", "lines"), [("n/3", 1), ("n/4", 0), (13, 0)])
def test_a_share_that_is_rounded_is_told(
    m: BatchSize, lines: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ready(tmp_path, m=m)
    assert len(caplog.records) == lines


def test_a_batch_is_the_drawn_images(data: ImageData, tmp_path: Path) -> None:
    batch = data.batch(5)
    assert batch.size == data.batch_size == 10
    assert (batch.pixels.shape, batch.pixels.dtype) == ((10, 3, 32, 32), torch.uint8)
    assert torch.equal(batch.pixels, data.subset.pixels[batch.ids])
    assert torch.equal(batch.pixels[:, 0, 0, 0].long(), data.subset.ids[batch.ids])
    assert batch.labels is None
    other = ready(tmp_path, m="n/4", seed=8, subset_seed=3)
    assert other.batch(5).ids.tolist() != batch.ids.tolist()
    assert other.subset.sha256 == data.subset.sha256
    with pytest.raises(UserError, match=r"data\.m"):
        data.batch(0, rank=0, world=11)


def test_labels_travel_with_the_images() -> None:
    digits = ImageData(n=64, m=16)
    digits.setup("fit")
    batch = digits.batch(2, rank=1, world=2)
    assert digits.subset.labels is not None
    assert batch.labels is not None
    assert torch.equal(batch.labels, digits.subset.labels[batch.ids])
    assert (digits.known_modes, digits.shape) == (None, (3, 32, 32))


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("sampling", ["with_replacement", "permutation"])
@pytest.mark.parametrize("world", [2, 3, 10])
def test_ranks_share_one_draw(tmp_path: Path, sampling: Sampling, world: int, factor: int) -> None:
    data = ready(tmp_path, m=10, sampling=sampling)
    data.images_factor = factor
    whole = data.batch(4)
    parts = [data.batch(4, rank=rank, world=world) for rank in range(world)]
    assert all(part.size == whole.size == 10 * factor for part in parts)
    rebuilt = torch.empty_like(whole.ids)
    for rank, part in enumerate(parts):
        rebuilt[rank::world] = part.ids
        assert torch.equal(part.pixels, data.subset.pixels[part.ids])
    assert torch.equal(rebuilt, whole.ids)


def test_held_out_images_that_the_subset_left_over(tmp_path: Path) -> None:
    data = ready(tmp_path, own_held_out=False)
    assert data.held_out is not None
    assert len(data.held_out) == 40
    assert not set(data.held_out[:, 0, 0, 0].tolist()) & set(data.subset.ids.tolist())
    own = ready(tmp_path)
    assert own.held_out is not None
    assert own.held_out[:, 0, 0, 0].tolist() == list(range(200, 210))
    assert ready(tmp_path, own_held_out=False, n=100).held_out is None


def test_heavy_packages_are_imported_on_demand() -> None:
    heavy = {"pytorch_lightning", "torchvision", "sklearn", "scipy"}
    code = f"import sys, ganstoch.data; sys.exit(len({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_subset_moves_to_the_device_once(data: ImageData) -> None:
    device = torch.device("cuda", 0)
    batch = data.batch(5, device=device)
    assert batch.pixels.device == batch.ids.device == device
    assert torch.equal(batch.ids.cpu(), data.batch(5).ids)
    assert torch.equal(batch.pixels.cpu(), data.batch(5).pixels)
    resident = data._resident[device]
    data.batch(6, device=device)
    assert data._resident[device] is resident
