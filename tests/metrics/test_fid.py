"""Distances known in closed form, torch-fidelity's own numbers, and how pictures are ranked."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from ganstoch.metrics.fid import GaussianStats, frechet_distance, frechet_from_stats
from ganstoch.metrics.neighbours import byte_search


def draw(*shape: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def features(count: int, width: int, *, seed: int) -> Tensor:
    """Correlated, skewed, of variances three decades apart, none negative: as after a ReLU."""
    scales = torch.logspace(0, -3, width, dtype=torch.float64)
    mixing = draw(width, width, seed=99) / math.sqrt(width)
    return (draw(count, width, seed=seed) * scales @ mixing).relu()


def published(real: Tensor, generated: Tensor) -> float:
    moments = [fid_features_to_statistics(side) for side in (real, generated)]
    return float(fid_statistics_to_metric(*moments, False)["frechet_inception_distance"])


@pytest.mark.parametrize(
    ("n", "m", "width"), [(300, 400, 40), (30, 300, 100), (300, 25, 100), (30, 40, 100)]
)
def test_equal_to_torch_fidelity(n: int, m: int, width: int) -> None:
    real, generated = features(n, width, seed=1), features(m, width, seed=2) * 1.1
    assert frechet_distance(real, generated) == pytest.approx(published(real, generated), rel=1e-6)


def test_few_images_are_measured_more_closely_than_roots_of_eigenvalues_can() -> None:
    """Against singular values of the centred features themselves, no covariance ever made."""
    real, generated = features(40, 200, seed=3), features(50, 200, seed=4)
    a, b = ((side - side.mean(0)).T / math.sqrt(len(side) - 1) for side in (real, generated))
    shift = (real.mean(0) - generated.mean(0)).square().sum()
    expected = shift + a.square().sum() + b.square().sum()
    expected -= 2 * torch.linalg.svdvals(a.T @ b).sum()
    assert frechet_distance(real, generated) == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("decades", [0, 2, 4, 6, 8, 12])
def test_features_of_very_unequal_spread(decades: int) -> None:
    spread = 10 ** -torch.linspace(0, decades, 60).double()
    real, generated = (features(100, 60, seed=seed).double() * spread for seed in (6, 7))
    a, b = ((side - side.mean(0)).T / math.sqrt(99) for side in (real, generated))
    apart = (real.mean(0) - generated.mean(0)).square().sum()
    total = apart + a.square().sum() + b.square().sum()
    expected = total - 2 * torch.linalg.svdvals(a.T @ b).sum()
    off = abs(frechet_distance(real, generated) - expected.item())
    assert off < 1e-12 * total.item()


@pytest.mark.parametrize("n", [20, 500])
def test_closed_forms_of_copies(n: int) -> None:
    real = features(n, 60, seed=5)
    assert 0 <= frechet_distance(real, real.flip(0)) < 1e-12
    assert frechet_distance(real, real + 1e-3) == pytest.approx(60 * 1e-6, rel=1e-6)
    # Copies of one image have no covariance: the distance is to a point.
    point = real.mean(0, keepdim=True).expand(50, -1)
    assert frechet_distance(real, point) == pytest.approx(torch.cov(real.T).trace().item())
    assert frechet_distance(point, point + 1) == pytest.approx(60)


def test_gaussians_with_known_moments() -> None:
    zero = torch.zeros(2).double()

    def distance(one: Tensor, other: Tensor, shift: Tensor = zero) -> float:
        stats = GaussianStats(zero, one.double(), 10), GaussianStats(shift, other.double(), 10)
        return frechet_from_stats(*stats)

    # Diagonal: (s1 - s2)^2 along each axis.
    one, other = torch.diag(torch.tensor([4.0, 9.0])), torch.diag(torch.tensor([1.0, 25.0]))
    shift = torch.tensor([3.0, 4.0]).double()
    assert distance(one, other, shift) == pytest.approx(25 + 1 + 4)
    # Not commuting: tr (S1 S2)^(1/2) = sqrt(tr S1 S2 + 2 sqrt(det S1 S2)) in two dimensions.
    one, other = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.tensor([[5.0, -2.0], [-2.0, 1.0]])
    product = one @ other
    root = torch.sqrt(product.trace() + 2 * torch.linalg.det(product).sqrt())
    expected = (one.trace() + other.trace() - 2 * root).item()
    assert distance(one, other) == pytest.approx(expected)


def test_moments_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = features(101, 8, seed=11) + 1000  # a mean that squares would drown
    whole = GaussianStats.of(rows)
    assert whole.mean.numpy() == pytest.approx(np.mean(rows.numpy(), axis=0), rel=1e-14)
    expected = np.cov(rows.numpy(), rowvar=False)
    assert whole.covariance.numpy() == pytest.approx(expected, rel=1e-10, abs=1e-16)
    monkeypatch.setattr(byte_search, "_EXACT_ELEMENTS", 8 * 7)
    blocks = GaussianStats.of(rows)
    assert torch.allclose(blocks.mean, whole.mean, rtol=1e-13, atol=0)
    assert torch.allclose(blocks.covariance, whole.covariance, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), "2 features a row against 4"),
        (torch.zeros(1, 2), torch.zeros(3, 2), "at least 2 rows a side, got 1 and 3"),
        (torch.full((3, 2), torch.nan), torch.zeros(3, 2), "NaN or infinite"),
        (torch.tensor([[0.0], [1e200]], dtype=torch.float64), torch.zeros(3, 1), "overflow"),
    ],
)
def test_refused_features(real: Tensor, generated: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(real, generated)
