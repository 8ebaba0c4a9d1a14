"""Generators whose nearest image is known, one that learnt images by heart, one that did not."""

from collections.abc import Callable

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor, nn

from ganstoch.metrics.latent_recovery import recover, recovery_gap
from ganstoch.types import to_signed


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(count: int, *, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 4, 4, generator=rng) * 2 - 1


def by_heart(train: Tensor) -> Callable[[Tensor], Tensor]:
    """A mixture of stored images."""
    keys = draw(8, len(train), seed=1).float()
    return lambda z: torch.einsum("bn,nchw->bchw", (2 * z @ keys).softmax(1), train)


def neutral(z: Tensor) -> Tensor:
    return (z @ draw(8, 16, seed=2).to(z)).tanh().reshape(-1, 1, 4, 4)


def test_linear_generator_in_closed_form() -> None:
    basis, targets = draw(6, 48, seed=1), draw(10, 3, 4, 4, seed=2).clamp(-1, 1)
    recovery = recover(lambda z: (z @ basis).reshape(-1, 3, 4, 4), targets, latent_dim=6)
    best = torch.linalg.lstsq(basis.T, targets.flatten(1).T).solution.T
    expected = (best @ basis - targets.flatten(1)).square().mean(1)
    torch.testing.assert_close(recovery.errors, expected)
    torch.testing.assert_close(recovery.latents, best, rtol=0, atol=1e-6)


def test_own_images_are_recovered() -> None:
    generate = nn.Sequential(nn.Linear(4, 64), nn.LeakyReLU(0.2), nn.Linear(64, 48), nn.Tanh())
    rng = torch.Generator().manual_seed(0)
    for parameter in generate.parameters():
        nn.init.normal_(parameter, std=0.3, generator=rng)
    own = generate(torch.randn(12, 4, generator=rng)).detach()
    other = images(12, seed=3).repeat(1, 3, 1, 1).flatten(1)
    assert recover(generate, own, latent_dim=4, restarts=4).errors.median() < 1e-8
    assert recover(generate, other, latent_dim=4).errors.median() > 0.1
    assert all(parameter.grad is None for parameter in generate.parameters())


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_no_image_depends_on_its_batch_mates(batch_size: int) -> None:
    targets = images(7, seed=4).double()
    together = recover(neutral, targets, latent_dim=8, iterations=20)
    parts = recover(neutral, targets.flip(0), latent_dim=8, iterations=20, batch_size=batch_size)
    torch.testing.assert_close(parts.errors.flip(0), together.errors, rtol=1e-9, atol=0)


def test_a_generator_that_learnt_by_heart_is_told_from_one_that_did_not() -> None:
    sides = images(40, seed=6), images(40, seed=7)
    memorized, plain = (
        recovery_gap(*(recover(generate, side, latent_dim=8).errors for side in sides))
        for generate in (by_heart(sides[0]), neutral)
    )
    assert memorized.p_value < 0.01 < plain.p_value
    assert memorized.train_median < 0.5 * memorized.held_out_median
    assert plain.train_median == pytest.approx(plain.held_out_median, rel=0.3)


def test_bytes_are_images_in_minus_one_to_one() -> None:
    pixels = torch.arange(0, 240, 5, dtype=torch.uint8).reshape(3, 1, 4, 4)
    as_bytes, as_floats = (recover(neutral, x, latent_dim=8) for x in (pixels, to_signed(pixels)))
    torch.testing.assert_close(as_bytes.errors, as_floats.errors)
    gap = (neutral(as_bytes.latents).double() - to_signed(pixels)).flatten(1)
    torch.testing.assert_close(gap.square().mean(1), as_bytes.errors, rtol=1e-5, atol=0)


def test_seed_decides_the_starts() -> None:
    one, same, other = (
        recover(neutral, images(3, seed=8), latent_dim=8, iterations=2, seed=seed).errors
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_gap_of_known_errors() -> None:
    train, held_out = torch.tensor([1.0, 2.0, 4.0, 3.0]), torch.tensor([5.0, 3.0, 10.0])
    p_value = ks_2samp(train.numpy(), held_out.numpy()).pvalue
    assert recovery_gap(train, held_out) == (2.5, 5.0, p_value)


def test_refuses() -> None:
    targets = images(2, seed=1)
    with pytest.raises(ValueError, match="at least 1"):
        recover(neutral, targets, latent_dim=8, restarts=0)
    with pytest.raises(ValueError, match="the generator makes images of shape"):
        recover(neutral, targets[:, :, :2], latent_dim=8)
    with pytest.raises(ValueError, match="NaN"):
        recover(lambda z: neutral(z) * torch.nan, targets, latent_dim=8)
