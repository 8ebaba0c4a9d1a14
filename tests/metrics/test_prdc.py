"""Precision, recall, density, coverage: the reference program's numbers, and the right way up."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.metrics.prdc import prdc
from ganstoch.types import Norm


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def reference(real: Tensor, fake: Tensor, k: int, order: int) -> tuple[float, ...]:
    """What the authors' program computes, from three whole matrices."""

    def apart(a: Tensor, b: Tensor) -> Any:
        return np.linalg.norm(a.numpy()[:, None] - b.numpy()[None], ord=order, axis=2)

    real_radius = np.partition(apart(real, real), k, axis=1)[:, k]  # the row itself is the 0th
    fake_radius = np.partition(apart(fake, fake), k, axis=1)[:, k]
    between = apart(real, fake)
    in_real = between < real_radius[:, None]
    return (
        in_real.any(0).mean(),
        (between < fake_radius[None, :]).any(1).mean(),
        in_real.sum(0).mean() / k,
        (between.min(1) < real_radius).mean(),
    )


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("l1", 1)])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_the_reference_on_random_data(norm: Norm, order: int, k: int, shift: float) -> None:
    real, fake = draw(130, 12, seed=1).double(), draw(97, 12, seed=2).double() * 0.9 + shift
    scores = prdc(real, fake, k=k, norm=norm)
    assert scores == pytest.approx(reference(real, fake, k, order), abs=1e-12)
    assert 0 < scores.recall < 1
    assert 0 < scores.coverage < 1


def test_copies() -> None:
    """A ball holds its centre and the k - 1 nearer others: the k-th is on its edge, not inside."""
    real = draw(80, 20, seed=3)
    assert prdc(real, real.flip(0), k=5) == pytest.approx((1, 1, 1, 1), abs=1e-12)
    with pytest.warns(UserWarning, match="generated"):
        of_one = prdc(real, real[:1].expand(40, -1))
    assert of_one.precision == 1  # every one is in a real ball
    assert of_one.recall == 0  # balls of radius 0 hold nothing
    assert 1 / 80 <= of_one.coverage < 0.3


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_dropping_half_lowers_recall_alone(norm: Norm) -> None:
    modes, half = draw(400, 8, seed=6), draw(400, 8, seed=7)
    whole = half.clone()
    modes[::2, 0] += 100
    whole[::2, 0] += 100
    before, after = (prdc(modes, made, norm=norm) for made in (whole, half))
    assert after.precision > before.precision - 0.05
    assert after.recall < 0.55 * before.recall
    assert after.coverage < 0.55 * before.coverage


@pytest.mark.parametrize("made", [60, 90])
def test_expectations_of_two_draws_from_one_distribution(made: int) -> None:
    """Exact in the mean, whatever the distribution: all N - 1 others and M generated are alike.

    The ball of the k-th of N - 1 others holds a share of k / N in the mean, so density is 1. It
    holds no generated one if the k nearest of all are real.
    """
    k, draws, count = 5, 40, 60
    scores = [prdc(draw(count, 3, seed=s), draw(made, 3, seed=1000 + s), k=k) for s in range(draws)]
    nearest_are_real = 1.0
    for i in range(k):
        nearest_are_real *= (count - 1 - i) / (count + made - 1 - i)
    values = np.array([(s.density, s.coverage) for s in scores])
    error = values.std(0) / draws**0.5
    assert (error < 0.04).all()
    assert (abs(values.mean(0) - (1.0, 1 - nearest_are_real)) < 4 * error).all()
