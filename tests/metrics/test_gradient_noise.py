"""Against every batch there is, so that nothing is left to chance."""

import itertools
from collections.abc import Iterable, Sequence

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.gradient_noise import (
    GradientNoise,
    GradientSums,
    Side,
    combine,
    endless,
    finite,
    share_of_pieces,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def sums_of(rows: Tensor, *, draws: int = 1, block: int = 100) -> GradientSums:
    sums = GradientSums(draws=draws)
    for part in torch.split(rows, block):
        sums.add("a", part[:, :2].clone())
        sums.add("b", part[:, 2:].clone())
    return sums


def spread(batches: Iterable[Tensor]) -> tuple[float, float]:
    """Squared norm of the mean and trace of the covariance of equally likely gradients."""
    every = torch.stack(list(batches))
    mean = every.mean(0)
    return float(mean.square().sum()), float((every - mean).square().sum(1).mean())


def with_replacement(rows: Tensor, m: int) -> list[Tensor]:
    return [rows[list(ids)].mean(0) for ids in itertools.product(range(len(rows)), repeat=m)]


def without_replacement(rows: Tensor, m: int) -> list[Tensor]:
    return [rows[list(ids)].mean(0) for ids in itertools.combinations(range(len(rows)), m)]


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_noise_is_that_of_every_batch(m: int) -> None:
    rows = draw(5, 4)
    sums = sums_of(rows)
    noise = combine([finite(sums, size=m, share=1 / m)])
    signal, expected = spread(with_replacement(rows, m))
    assert (noise.signal, noise.noise) == pytest.approx((signal, expected), rel=1e-12)
    epoch = finite(sums, size=m, share=share_of_pieces([m], count=5))
    _, expected = spread(without_replacement(rows, m))
    assert epoch.noise == pytest.approx(expected, rel=1e-12, abs=1e-30)
    assert (epoch.noise == 0.0) == (m == 5)


def test_noise_of_a_batch_from_two_epochs_is_that_of_every_batch() -> None:
    rows = draw(4, 3)
    pairs = list(itertools.combinations(range(4), 2))
    _, noise = spread(rows[[one, *pair]].mean(0) for one in range(4) for pair in pairs)
    side = finite(sums_of(rows), size=3, share=share_of_pieces([1, 2], count=4))
    assert side.noise == pytest.approx(noise, rel=1e-12)


def test_two_sides_add_up() -> None:
    real, fake = draw(3, 4, seed=1), draw(4, 4, seed=2)
    batches = itertools.product(with_replacement(real, 2), without_replacement(fake, 2))
    signal, noise = spread(a + b for a, b in batches)  # independent draws
    _, single = spread(a + b for a in real for b in fake)
    whole = combine(
        [
            finite(sums_of(real), size=2, share=1 / 2),
            finite(sums_of(fake), size=2, share=share_of_pieces([2], count=4)),
        ]
    )
    assert (whole.signal, whole.noise) == pytest.approx((signal, noise), rel=1e-12)
    assert whole.single == pytest.approx(single, rel=1e-12)
    assert whole.ratio == pytest.approx(signal / noise)
    assert whole.critical_batch == pytest.approx(single / signal)


# Estimates have no bias: over every way in which their draws may fall they average to the truth.


def average(estimates: list[GradientNoise], name: str) -> float:
    return sum(float(getattr(each, name)) for each in estimates) / len(estimates)


def noisy(rows: Tensor, slopes: Tensor, signs: Sequence[float]) -> Tensor:
    """Gradients of examples under noise: one for each sign, example by example."""
    each = len(signs) // len(rows)
    rows, slopes = rows.repeat_interleave(each, 0), slopes.repeat_interleave(each, 0)
    return rows + slopes * torch.tensor(signs, dtype=torch.float64).unsqueeze(1)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_noise_on_latents_is_estimated_without_bias(m: int) -> None:
    rows, slopes = draw(3, 3, seed=3), draw(3, 3, seed=4)
    signal, noise = spread(
        noisy(rows[list(ids)], slopes[list(ids)], signs).mean(0)
        for ids in itertools.combinations(range(3), m)
        for signs in itertools.product((-1.0, 1.0), repeat=m)
    )
    _, single = spread(noisy(rows, slopes, [s] * 3)[i] for s in (-1.0, 1.0) for i in range(3))
    share = share_of_pieces([m], count=3)
    estimates = [
        combine([finite(sums_of(noisy(rows, slopes, signs), draws=2), size=m, share=share)])
        for signs in itertools.product((-1.0, 1.0), repeat=6)
    ]
    for name, expected in (("noise", noise), ("single", single), ("signal", signal)):
        assert average(estimates, name) == pytest.approx(expected, rel=1e-12)


def test_fresh_latents_are_estimated_without_bias() -> None:
    gradients = draw(3, 4, seed=5)  # three equally likely latents
    signal, noise = spread(with_replacement(gradients, 2))
    estimates = [
        combine([endless(sums_of(gradients[list(ids)]), size=2)])
        for ids in itertools.product(range(3), repeat=3)
    ]
    assert average(estimates, "noise") == pytest.approx(noise, rel=1e-12)
    assert average(estimates, "signal") == pytest.approx(signal, rel=1e-12)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("block", [3, 6, 12])
def test_products_are_as_if_they_were_made(draws: int, block: int) -> None:
    left, right = draw(12, 4, seed=6), draw(12, 5, seed=7)
    made, kept = GradientSums(draws=draws), GradientSums(draws=draws)
    for one, other in zip(torch.split(left, block), torch.split(right, block), strict=True):
        made.add("w", (one.unsqueeze(2) * other.unsqueeze(1)).flatten(1))
        kept.add_outer("w", one, other)
    torch.testing.assert_close(kept.mean["w"], made.mean["w"])
    assert kept.count == made.count == 12 // draws
    assert (kept.between, kept.within) == pytest.approx((made.between, made.within), rel=1e-12)


def test_single_precision_keeps_its_digits() -> None:
    # Differences of 1e-3 around 1e3: sums of squares around 0 would leave none of them. The block's
    # own mean is rounded, which adds its square once for every example.
    for rows, error in (((1e3 + 1e-3 * draw(64, 4)), 0.05), (draw(3, 200_000), 1e-6)):
        rows = rows.float()
        expected = float((rows.double() - rows.double().mean(0)).square().sum())
        assert sums_of(rows, block=16).between == pytest.approx(expected, rel=error)


def test_undefined_ratios_are_none() -> None:
    mean = {"a": torch.tensor([2.0], dtype=torch.float64)}
    silent = combine([Side(mean=mean, noise=0.0, single=6.0)])
    assert (silent.ratio, silent.critical_batch) == (None, 1.5)
    lost = combine([Side(mean=mean, noise=1.0, single=3.0, bias=7.0)])
    assert (lost.signal, lost.ratio, lost.critical_batch) == (-3.0, None, None)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="two independent"):
        endless(sums_of(draw(1, 3)), size=2)
    uneven = sums_of(draw(4, 3))
    uneven.add("a", draw(1, 2))
    with pytest.raises(ValueError, match=r"\[4, 5\]"):
        finite(uneven, size=1, share=1.0)
