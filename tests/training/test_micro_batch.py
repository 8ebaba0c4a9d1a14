import pytest
import torch

from ganstoch.bench.equality import draw
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch


@pytest.mark.parametrize(
    ("micro_batch", "sizes"),
    [(None, [64]), (100, [64]), (16, [16] * 4), (7, [7] * 9 + [1]), (1, [1] * 64)],
)
def test_parts_are_the_batch_in_order(micro_batch: int | None, sizes: list[int]) -> None:
    batch, z = draw(64, 8, iteration=0)
    parts = split(batch, z, micro_batch=micro_batch, dtype=torch.float64)
    assert [len(part.latents) for part in parts] == sizes
    assert torch.equal(torch.cat([part.pixels for part in parts]), batch.pixels)
    assert torch.equal(torch.cat([part.latents for part in parts]), z.double())
    assert [part.weight for part in parts] == [size / 64 for size in sizes]


def test_real_images_are_floats_of_the_networks_precision() -> None:
    batch = Batch(pixels=torch.tensor([0, 51, 255]).to(torch.uint8), ids=torch.arange(3), size=3)
    for dtype in (torch.float32, torch.float64):
        (part,) = split(batch, torch.zeros(3, 1), micro_batch=None, dtype=dtype)
        assert part.real.dtype == dtype
        assert part.real.tolist() == pytest.approx([-1.0, -0.6, 1.0], abs=1e-7)
    assert batch.pixels.tolist() == [0, 51, 255]
