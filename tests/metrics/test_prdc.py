"""Precision, recall, density, coverage: the reference program's numbers, and the right way up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.metrics.prdc import prdc
from ganstoch.types import Norm

NAMES = ("precision", "recall", "density", "coverage")


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def reference(real: np.ndarray, fake: np.ndarray, k: int, order: int = 2) -> dict[str, float]:
    """What the authors' program computes, from three whole matrices."""

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a[:, None] - b[None], ord=order, axis=2)

    real_radius = np.partition(apart(real, real), k, axis=1)[:, k]  # the row itself is the 0th
    fake_radius = np.partition(apart(fake, fake), k, axis=1)[:, k]
    between = apart(real, fake)
    in_real = between < real_radius[:, None]
    in_fake = between < fake_radius[None, :]
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(1).mean(),
        "density": in_real.sum(0).mean() / k,
        "coverage": (between.min(1) < real_radius).mean(),
    }


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("l1", 1)])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_the_reference_on_random_data(norm: Norm, order: int, k: int, shift: float) -> None:
    real, fake = draw(130, 12, seed=1).double(), draw(97, 12, seed=2).double() * 0.9 + shift
    scores = prdc(real, fake, k=k, norm=norm)
    expected = reference(real.numpy(), fake.numpy(), k, order)
    for name in NAMES:
        assert getattr(scores, name) == pytest.approx(expected[name], abs=1e-12), name
    assert 0 < scores.recall < 1
    assert 0 < scores.coverage < 1
    assert scores.coverage == scores.covered.double().mean()
    assert torch.equal(scores.covered, scores.nearest_counts > 0)
    assert scores.density == pytest.approx(scores.nearest_counts.sum().item() / (97 * k))


def test_closed_form_of_copies() -> None:
    """A ball holds its centre and the k - 1 nearer others: the k-th is on its edge, not inside."""
    real = draw(80, 20, seed=3)
    scores = prdc(real, real[torch.randperm(80, generator=torch.Generator().manual_seed(4))], k=5)
    assert (scores.precision, scores.recall, scores.coverage) == (1, 1, 1)
    assert scores.density == pytest.approx(1.0, abs=1e-12)
    assert scores.nearest_counts.tolist() == [5] * 80


def test_copies_of_one() -> None:
    real = draw(80, 20, seed=5)
    scores = prdc(real, real[:1].expand(40, -1))
    assert scores.precision == 1  # every one is in a real ball
    assert scores.recall == 0  # balls of radius 0 hold nothing
    assert scores.coverage == pytest.approx(scores.covered[1:].sum().item() / 80 + 1 / 80)
    assert scores.coverage < 0.3
    assert set(scores.nearest_counts.tolist()) == {0, 40}


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_dropping_half_lowers_recall_alone(norm: Norm) -> None:
    """Two far modes; the generator makes one of them."""
    modes = draw(400, 8, seed=6)
    modes[::2, 0] += 100
    whole = draw(400, 8, seed=7)
    half = whole.clone()
    whole[::2, 0] += 100
    before, after = (prdc(modes, made, norm=norm) for made in (whole, half))
    assert after.precision > before.precision - 0.05
    assert after.recall < 0.55 * before.recall
    assert after.coverage < 0.55 * before.coverage
    assert not after.covered[::2].any()
    assert after.nearest_counts[::2].sum() == 0


def test_units_rotations_and_order_do_not_matter() -> None:
    real, made = draw(120, 10, seed=14).double(), draw(90, 10, seed=15).double() * 1.2
    turn = torch.linalg.qr(draw(10, 10, seed=16).double()).Q
    plain, moved = prdc(real, made), prdc((real @ turn * 1e-7 + 3).flip(0), made @ turn * 1e-7 + 3)
    for name in NAMES:
        assert getattr(plain, name) == pytest.approx(getattr(moved, name), abs=1e-12), name
    assert torch.equal(plain.covered, moved.covered.flip(0))


@pytest.mark.parametrize(("count", "made"), [(60, 60), (60, 90)])
def test_expectations_of_two_draws_from_one_distribution(count: int, made: int) -> None:
    """Exact in the mean, whatever the distribution: all N - 1 others and M generated are alike.

    The ball of the k-th of N - 1 others holds a share of k / N in the mean, so density is 1. It
    holds no generated one if the k nearest of all are real.
    """
    k, draws = 5, 40
    scores = [prdc(draw(count, 3, seed=s), draw(made, 3, seed=1000 + s), k=k) for s in range(draws)]
    nearest_are_real = 1.0
    for i in range(k):
        nearest_are_real *= (count - 1 - i) / (count + made - 1 - i)
    density = np.array([s.density for s in scores])
    coverage = np.array([s.coverage for s in scores])
    for found, expected in ((density, 1.0), (coverage, 1 - nearest_are_real)):
        assert abs(found.mean() - expected) < 4 * found.std() / draws**0.5
        assert found.std() / draws**0.5 < 0.04
