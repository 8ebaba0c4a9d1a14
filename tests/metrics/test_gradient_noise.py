"""Against every batch there is, so that nothing is left to chance."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.gradient_noise import (
    GradientSums,
    Side,
    combine,
    endless,
    finite,
    jittered,
    share_of_pieces,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def sums_of(rows: Tensor, *, draws: int = 1, block: int = 100) -> GradientSums:
    sums = GradientSums(draws=draws)
    for part in rows.split(block):
        sums.add("a", part[:, :2].clone())
        sums.add("b", part[:, 2:].clone())
    return sums


def spread(batches: Iterable[Tensor]) -> tuple[Tensor, float]:
    """Mean and trace of the covariance of equally likely gradients."""
    every = torch.stack(list(batches))
    mean = every.mean(0)
    return mean, float((every - mean).square().sum(1).mean())


def with_replacement(rows: Tensor, m: int) -> Iterable[Tensor]:
    return (rows[list(ids)].mean(0) for ids in itertools.product(range(len(rows)), repeat=m))


def without_replacement(rows: Tensor, m: int) -> Iterable[Tensor]:
    return (rows[list(ids)].mean(0) for ids in itertools.combinations(range(len(rows)), m))


@pytest.mark.parametrize("m", [1, 2, 3])
def test_noise_with_replacement_is_that_of_every_batch(m: int) -> None:
    rows = draw(4, 5)
    mean, noise = spread(with_replacement(rows, m))
    side = finite(sums_of(rows), share=1 / m)
    assert side.noise == pytest.approx(noise, rel=1e-12)
    torch.testing.assert_close(torch.cat([side.mean["a"], side.mean["b"]]), mean)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_noise_without_replacement_is_that_of_every_batch(m: int) -> None:
    rows = draw(5, 4)
    _, noise = spread(without_replacement(rows, m))
    side = finite(sums_of(rows), share=share_of_pieces([m], count=5))
    assert side.noise == pytest.approx(noise, rel=1e-12, abs=1e-30)
    assert (side.noise == 0.0) == (m == 5)


def test_noise_of_a_batch_from_two_epochs_is_that_of_every_batch() -> None:
    rows = draw(4, 3)
    ends = [[ids[:1], ids[1:]] for ids in ((a, *b) for a in range(4) for b in pairs(4))]
    _, noise = spread((rows[list(one + two)]).mean(0) for one, two in ends)
    side = finite(sums_of(rows), share=share_of_pieces([1, 2], count=4))
    assert side.noise == pytest.approx(noise, rel=1e-12)


def pairs(count: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(count), 2))


def test_two_sides_add_up() -> None:
    real, fake = draw(3, 4, seed=1), draw(4, 4, seed=2)
    every = [
        a + b for a in with_replacement(real, 2) for b in without_replacement(fake, 2)
    ]  # independent draws
    mean, noise = spread(every)
    found = combine(
        [
            finite(sums_of(real), share=1 / 2),
            finite(sums_of(fake), share=share_of_pieces([2], count=4)),
        ]
    )
    assert found.signal == pytest.approx(float(mean.square().sum()), rel=1e-12)
    assert found.noise == pytest.approx(noise, rel=1e-12)
    _, single = spread(a + b for a in real for b in fake)
    assert found.single == pytest.approx(single, rel=1e-12)
    assert found.ratio == pytest.approx(found.signal / noise)
    assert found.critical_batch == pytest.approx(single / found.signal)


# Estimates have no bias: over every way in which their draws may fall they average to the truth.

NOISES = torch.tensor([-1.0, 1.0], dtype=torch.float64)


def noisy(rows: Tensor, slopes: Tensor, signs: Sequence[float]) -> Tensor:
    """Gradients of examples under noise: one for each sign, example by example."""
    each = len(signs) // len(rows)
    rows, slopes = rows.repeat_interleave(each, 0), slopes.repeat_interleave(each, 0)
    return rows + slopes * torch.tensor(signs, dtype=torch.float64).unsqueeze(1)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_noise_on_latents_is_estimated_without_bias(m: int) -> None:
    rows, slopes = draw(3, 3, seed=3), draw(3, 3, seed=4)
    mean, noise = spread(
        noisy(rows[list(ids)], slopes[list(ids)], signs).mean(0)
        for ids in itertools.combinations(range(3), m)
        for signs in itertools.product((-1.0, 1.0), repeat=m)
    )
    _, single = spread(noisy(rows, slopes, [s] * 3)[i] for s in (-1.0, 1.0) for i in range(3))
    share = share_of_pieces([m], count=3)
    found = [
        combine([jittered(sums_of(noisy(rows, slopes, signs), draws=2), size=m, share=share)])
        for signs in itertools.product((-1.0, 1.0), repeat=6)
    ]
    assert average(each.noise for each in found) == pytest.approx(noise, rel=1e-12)
    assert average(each.single for each in found) == pytest.approx(single, rel=1e-12)
    signal = float(mean.square().sum())
    assert average(each.signal for each in found) == pytest.approx(signal, rel=1e-12)


def test_fresh_latents_are_estimated_without_bias() -> None:
    values = draw(3, 4, seed=5)  # a world of three equally likely latents
    mean, noise = spread(with_replacement(values, 2))
    found = [
        combine([endless(sums_of(values[list(ids)]), size=2)])
        for ids in itertools.product(range(3), repeat=3)
    ]
    assert average(each.noise for each in found) == pytest.approx(noise, rel=1e-12)
    signal = float(mean.square().sum())
    assert average(each.signal for each in found) == pytest.approx(signal, rel=1e-12)


def average(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def test_without_noise_the_estimate_is_the_exact_value() -> None:
    rows = draw(4, 3)
    share = share_of_pieces([2], count=4)
    exact = finite(sums_of(rows), share=share)
    same = jittered(sums_of(rows.repeat_interleave(3, 0), draws=3), size=2, share=share)
    assert same.noise == pytest.approx(exact.noise, rel=1e-12)
    assert same.single == pytest.approx(exact.single, rel=1e-12)
    assert same.bias == pytest.approx(0.0, abs=1e-30)


# How sums are taken.


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("block", [3, 6, 12])
def test_products_are_as_if_they_were_made(draws: int, block: int) -> None:
    left, right = draw(12, 4, seed=6), draw(12, 5, seed=7)
    made, kept = GradientSums(draws=draws), GradientSums(draws=draws)
    for i in range(0, 12, block):
        one, other = left[i : i + block], right[i : i + block]
        made.add("w", (one.unsqueeze(2) * other.unsqueeze(1)).flatten(1))
        kept.add_outer("w", one, other)
    torch.testing.assert_close(kept.mean["w"], made.mean["w"])
    assert kept.count == made.count == 12 // draws
    assert kept.between == pytest.approx(made.between, rel=1e-12)
    assert kept.within == pytest.approx(made.within, rel=1e-12)


def test_nearly_equal_gradients_keep_their_digits() -> None:
    # Differences of 1e-3 around 1e3: sums of squares around 0 would leave none of them.
    rows = (1e3 + 1e-3 * draw(64, 4)).float()
    expected = (rows.double() - rows.double().mean(0)).square().sum()
    # The block's own mean is rounded, which adds its square once for every example.
    assert sums_of(rows, block=16).between == pytest.approx(float(expected), rel=0.05)
    naive = float((rows.square().sum(0) - 64 * rows.mean(0).square()).sum())
    assert naive != pytest.approx(float(expected), rel=0.5)


def test_long_rows_in_single_precision() -> None:
    rows = draw(3, 200_000).float()
    expected = float((rows.double() - rows.double().mean(0)).square().sum())
    assert sums_of(rows).between == pytest.approx(expected, rel=1e-6)


def test_undefined_ratios_are_none() -> None:
    silent = Side(mean={"a": torch.ones(2, dtype=torch.float64)}, noise=0.0, single=3.0)
    found = combine([silent])
    assert found.ratio is None
    assert found.critical_batch == pytest.approx(1.5)
    lost = combine([Side(mean=silent.mean, noise=1.0, single=3.0, bias=5.0)])
    assert lost.signal == pytest.approx(-3.0)
    assert (lost.ratio, lost.critical_batch) == (None, None)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="without replacement from 4"):
        share_of_pieces([5], count=4)
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        GradientSums(draws=0)
    with pytest.raises(ValueError, match="two draws or more"):
        jittered(sums_of(draw(4, 3)), size=2, share=1.0)
    with pytest.raises(ValueError, match="one draw of each"):
        finite(sums_of(draw(4, 3), draws=2), share=1.0)
    with pytest.raises(ValueError, match="two independent"):
        endless(sums_of(draw(1, 3)), size=2)
    uneven = sums_of(draw(4, 3))
    uneven.add("a", draw(1, 2))
    with pytest.raises(ValueError, match=r"\[4, 5\]"):
        finite(uneven, share=1.0)
