from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganstoch.rng import normal, rng_for, with_replacement
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch

CPU = torch.device("cpu")


def real_images(count: int, draw: int = 0) -> Tensor:
    rng = rng_for(0, "data", draw)
    return with_replacement(256, count * 3072, rng).to(torch.uint8).view(count, 3, 32, 32)


def batch_of(count: int, draw: int = 0) -> Batch:
    return Batch(pixels=real_images(count, draw), ids=torch.arange(count), size=count)


@pytest.mark.parametrize(
    ("micro_batch", "sizes"),
    [(None, [64]), (100, [64]), (16, [16] * 4), (7, [7] * 9 + [1]), (1, [1] * 64)],
)
def test_parts_are_the_batch_in_order(micro_batch: int | None, sizes: list[int]) -> None:
    batch, z = batch_of(64), normal((64, 8), rng_for(0, "latent"))
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


def test_a_share_is_one_that_was_dealt() -> None:
    with pytest.raises(ValueError, match="in a share of 4"):
        split(batch_of(8), torch.zeros(8, 2), micro_batch=4, dtype=torch.float32, world=2)


def train(gan: GAN, *, micro_batch: int, iterations: int) -> dict[str, Tensor]:
    """Everything that some iterations leave, in double precision."""
    gan.double().setup_latents(n=64)
    assert gan.latents is not None
    optimizers = gan.configure_optimizers()
    left: dict[str, Tensor] = {}
    for i in range(iterations):
        z = gan.latents.draw(i, 64, device=CPU)
        parts = split(batch_of(64, i), z, micro_batch=micro_batch, dtype=torch.float64)
        gan.train_iteration([parts], *optimizers, iteration=i)
        left |= {f"{name}/{i}": loss.clone() for name, loss in gan.losses.items()}
    for player, optimizer in zip(("d", "g"), optimizers, strict=True):
        for i, state in optimizer.state_dict()["state"].items():
            left |= {f"adam.{player}.{i}.{name}": value for name, value in state.items()}
    return left | gan.state_dict()


@pytest.mark.parametrize(("bank", "noise"), [("2n", 0.0), ("n", 0.5)])
def test_micro_batches_change_nothing(
    make_gan: Callable[..., GAN], bank: str, noise: float
) -> None:
    whole = train(make_gan(bank=bank, noise=noise), micro_batch=64, iterations=3)
    assert sum(name.startswith("adam") for name in whole) == 3 * (8 + 10)
    for micro_batch in (16, 7):
        parts = train(make_gan(bank=bank, noise=noise), micro_batch=micro_batch, iterations=3)
        assert parts.keys() == whole.keys()
        far = {name: (parts[name] - whole[name]).abs().max().item() for name in whole}
        assert max(far.values()) < 1e-10, max(far, key=far.__getitem__)


def test_images_are_made_once_where_the_batch_is_one_part(
    make_gan: Callable[..., GAN],
) -> None:
    """One part: one forward pass of the generator serves both updates."""
    for micro_batch, expected in ((64, [64]), (32, [32, 32, 32, 32])):
        gan = make_gan()
        made: list[int] = []
        gan.generator.register_forward_hook(lambda m, x, y, made=made: made.append(len(y)))
        train(gan, micro_batch=micro_batch, iterations=1)
        assert made == expected
