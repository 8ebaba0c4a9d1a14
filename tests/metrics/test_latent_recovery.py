"""Generators whose nearest image is known, one that learnt images by heart, one that did not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor, nn

from ganstoch.metrics.latent_recovery import recover, recovery_gap
from ganstoch.types import to_signed

Generate = Callable[[Tensor], Tensor]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(count: int, *, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 4, 4, generator=rng) * 2 - 1


def by_heart(train: Tensor) -> Generate:
    """A mixture of stored images."""
    keys = draw(8, len(train), seed=1).float()
    return lambda z: torch.einsum("bn,nchw->bchw", (2 * z @ keys).softmax(1), train)


def neutral(z: Tensor) -> Tensor:
    return (z @ draw(8, 16, seed=2).to(z)).tanh().reshape(-1, 1, 4, 4)


def test_linear_generator_in_closed_form() -> None:
    basis, wanted = draw(6, 48, seed=1), draw(10, 3, 4, 4, seed=2).clamp(-1, 1)
    found = recover(lambda z: (z @ basis).reshape(-1, 3, 4, 4), wanted, latent_dim=6)
    best = torch.linalg.lstsq(basis.T, wanted.flatten(1).T).solution.T
    expected = (best @ basis - wanted.flatten(1)).square().mean(1)
    torch.testing.assert_close(found.errors, expected)
    torch.testing.assert_close(found.latents, best, rtol=0, atol=1e-6)


def test_own_images_are_recovered() -> None:
    generate = nn.Sequential(nn.Linear(4, 64), nn.LeakyReLU(0.2), nn.Linear(64, 48), nn.Tanh())
    rng = torch.Generator().manual_seed(0)
    for parameter in generate.parameters():
        nn.init.normal_(parameter, std=0.3, generator=rng)
    latents = torch.randn(12, 4, generator=rng)
    own = generate(latents).detach()
    found = recover(generate, own, latent_dim=4, restarts=4)
    other = recover(generate, images(12, seed=3).repeat(1, 3, 1, 1).flatten(1), latent_dim=4)
    assert found.errors.median() < 1e-8
    assert other.errors.median() > 0.1
    assert all(parameter.grad is None for parameter in generate.parameters())


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_no_image_depends_on_its_batch_mates(batch_size: int) -> None:
    wanted = images(7, seed=4).double()
    together = recover(neutral, wanted, latent_dim=8, iterations=20)
    parts = recover(neutral, wanted.flip(0), latent_dim=8, iterations=20, batch_size=batch_size)
    torch.testing.assert_close(parts.errors.flip(0), together.errors, rtol=1e-9, atol=0)
    alone = recover(neutral, wanted[2:3], latent_dim=8, iterations=20)
    torch.testing.assert_close(alone.errors, together.errors[2:3], rtol=1e-9, atol=0)


def test_a_generator_that_learnt_by_heart_is_told_from_one_that_did_not() -> None:
    train, held_out = images(40, seed=6), images(40, seed=7)
    memorised = recovery_gap(
        *(recover(by_heart(train), some, latent_dim=8).errors for some in (train, held_out))
    )
    assert memorised.p_value < 0.01
    assert memorised.gap > 0.5
    plain = recovery_gap(
        *(recover(neutral, some, latent_dim=8).errors for some in (train, held_out))
    )
    assert plain.p_value > 0.01
    assert abs(plain.gap) < 0.3


def test_bytes_are_images_in_minus_one_to_one() -> None:
    pixels = torch.randint(
        0, 256, (3, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    as_bytes = recover(neutral, pixels, latent_dim=8)
    torch.testing.assert_close(
        as_bytes.errors, recover(neutral, to_signed(pixels), latent_dim=8).errors
    )
    made = neutral(as_bytes.latents)
    torch.testing.assert_close(
        (made.double() - to_signed(pixels)).square().flatten(1).mean(1),
        as_bytes.errors,
        rtol=1e-5,
        atol=0,
    )


def test_seed_decides_the_starts() -> None:
    wanted = images(3, seed=8)
    one, same, other = (
        recover(neutral, wanted, latent_dim=8, iterations=2, seed=seed).errors for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("train", "held_out", "gap"),
    [
        # Medians of "glo-1024" on MNIST and CIFAR-10 in the authors' supplement, with their gaps.
        (2.86e-4, 8.88e-4, 0.678),
        (2.77e-3, 6.67e-3, 0.584),
    ],
)
def test_published_gaps(train: float, held_out: float, gap: float) -> None:
    found = recovery_gap(torch.full((3,), train), torch.full((3,), held_out))
    assert found.gap == pytest.approx(gap, abs=1e-3)


def test_gap_of_known_errors() -> None:
    train, held_out = torch.tensor([1.0, 2.0, 4.0, 3.0]), torch.tensor([5.0, 3.0, 10.0])
    found = recovery_gap(train, held_out)
    test = ks_2samp(train.numpy(), held_out.numpy())
    assert (found.train_median, found.held_out_median, found.gap) == (2.5, 5.0, 0.5)
    assert (found.statistic, found.p_value) == (test.statistic, test.pvalue)
    assert recovery_gap(held_out, train).gap == -1.0
    assert recovery_gap(torch.zeros(3), torch.zeros(3)).gap == 0.0


def test_refuses() -> None:
    wanted = images(2, seed=1)
    with pytest.raises(ValueError, match="at least 1"):
        recover(neutral, wanted, latent_dim=8, restarts=0)
    with pytest.raises(ValueError, match="at least 1"):
        recover(neutral, wanted[:0], latent_dim=8)
    with pytest.raises(ValueError, match="the generator makes images of shape"):
        recover(neutral, wanted[:, :, :2], latent_dim=8)
    with pytest.raises(ValueError, match="NaN"):
        recover(lambda z: neutral(z) * torch.nan, wanted, latent_dim=8)
