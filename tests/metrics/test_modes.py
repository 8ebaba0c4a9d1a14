from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from ganstoch.metrics.modes import (
    ModeScores,
    perfect_sampler,
    score_classes,
    score_gaussians,
)
from ganstoch.rng import rng_for
from ganstoch.types import GaussianModes, StackedClasses

TURNS = torch.arange(8) * (2 * math.pi / 8)
RING = GaussianModes(torch.stack([TURNS.cos(), TURNS.sin()], dim=1), sigma=0.01, samples=2500)
STEPS = torch.arange(-4.0, 5.0, 2.0)
GRID = GaussianModes(torch.cartesian_prod(STEPS, STEPS), sigma=0.05, samples=2500)
LINE = GaussianModes(torch.tensor([[1.0], [-1.0]]), sigma=0.1, samples=2500)
EMBEDDED = GaussianModes(
    torch.tensor([[0.0] * 60, [9.0] * 60]), sigma=1.0, samples=2500, rank=50, radius=8.6
)
WORLDS = [RING, GRID, LINE, EMBEDDED]
STACKED = StackedClasses(samples=26_000, classifier=Path("gone"), made_by="ganstoch prepare x")


def by_hand(points: Tensor, world: GaussianModes) -> tuple[int, float, float]:
    """The code of PacGAN, small: modes, share of good points, KL to uniform in nats."""
    counts = [0] * len(world.centres)
    for point in points.tolist():
        apart = [
            math.sqrt(sum((a - b) ** 2 / world.sigma**2 for a, b in zip(point, c, strict=True)))
            for c in world.centres.tolist()
        ]
        nearest = min(range(len(apart)), key=apart.__getitem__)
        if apart[nearest] < world.radius:
            counts[nearest] += 1
    shares = [count / sum(counts) for count in counts]
    kl = sum(p * math.log(p * len(counts)) for p in shares if p)
    return sum(count > 0 for count in counts), sum(counts) / len(points), kl


def perfect(world: GaussianModes, modes: Tensor, *, seed: int = 0) -> Tensor:
    rng = rng_for(seed, "evaluation", part="test")
    return world.points(modes, torch.randn(len(modes), world.spread, generator=rng))


def test_as_the_authors_compute_it() -> None:
    rng = rng_for(0, "evaluation", part="cloud")
    spread = GaussianModes(RING.centres, sigma=0.2, samples=300)  # some good, some not, all near
    points = torch.randn(300, 2, generator=rng)
    modes, share, kl = by_hand(points, spread)
    scores = score_gaussians(points, spread)
    assert 0.1 < share < 0.9
    assert scores.count == modes
    assert (scores.good_share, scores.reverse_kl) == pytest.approx((share, kl))


@pytest.mark.parametrize("world", WORLDS)
def test_a_perfect_sampler_scores_as_theory_says(world: GaussianModes) -> None:
    scores = perfect_sampler(world, seed=3)
    count = len(world.centres)
    assert scores.count == scores.of == count
    expected = chi2.cdf(world.radius**2, world.spread)
    assert abs(scores.good_share - expected) < 4 * math.sqrt(expected * (1 - expected) / 2500)
    floors = [perfect_sampler(world, seed=seed).reverse_kl for seed in range(40)]
    # 2 N KL is about chi^2 with K - 1 degrees of freedom, whose variance is 2 (K - 1).
    floor = (count - 1) / (2 * 2500)
    spread = math.sqrt(2 * (count - 1)) / (2 * 2500)
    assert abs(sum(floors) / 40 - floor) < 4 * spread / math.sqrt(40)


@pytest.mark.parametrize("value", [7.0, math.nan, math.inf])
def test_noise_reaches_nothing(value: float) -> None:
    scores = score_gaussians(torch.full((50, 2), value), GRID)
    assert scores == ModeScores(count=0, of=25, good_share=0.0, reverse_kl=math.log(25))


def test_only_good_points_count() -> None:
    near = RING.centres[:2] * 1.0299  # 2.99 sigma outwards
    far = RING.centres[2:] * 1.0301
    scores = score_gaussians(torch.cat([near, far]), RING)
    assert (scores.count, scores.good_share) == (2, 0.25)
    assert scores.reverse_kl == pytest.approx(math.log(4))


def test_distance_is_that_of_the_whole_point() -> None:
    # 2.5 sigma along each axis: within a box of 3, not within a circle of 3.
    corner = RING.centres[:1] + 0.025
    assert score_gaussians(corner, RING).good_share == 0
    assert score_gaussians(RING.centres[:1] + torch.tensor([0.025, 0]), RING).good_share == 1


def test_coordinates_without_spread_count_too() -> None:
    point = torch.zeros(1, 60)
    point[0, 55] = 8.5
    assert score_gaussians(point, EMBEDDED).good_share == 1
    point[0, 55] = 8.7
    assert score_gaussians(point, EMBEDDED).good_share == 0


# --- classes -------------------------------------------------------------------------------------


def test_classes() -> None:
    predicted = torch.tensor([0, 0, 0, 7, 7, 9])
    confidence = torch.tensor([0.95, 0.2, 0.2, 0.9, 0.89, 0.5], dtype=torch.float64)
    scores = score_classes(predicted, confidence, 10)
    kl = sum(p * math.log(10 * p) for p in (3 / 6, 2 / 6, 1 / 6))
    assert (scores.count, scores.of, scores.confident_count) == (3, 10, 2)
    assert scores.reverse_kl == pytest.approx(kl)  # of all images, as in PacGAN
    assert scores.good_share == pytest.approx(2 / 6)
    assert scores.confidence == pytest.approx(3.64 / 6)
    order = torch.tensor([5, 3, 1, 0, 2, 4])
    again = score_classes(predicted[order], confidence[order], 10)
    assert (again.count, again.reverse_kl) == (scores.count, scores.reverse_kl)


def test_perfect_stacks() -> None:
    scores = perfect_sampler(STACKED, seed=0)
    assert (scores.count, scores.of, scores.confident_count) == (1000, 1000, 1000)
    assert (scores.good_share, scores.confidence) == (1.0, 1.0)
    assert abs(scores.reverse_kl - 0.0193) < 4 * 0.0009  # measured elsewhere
    assert abs(scores.reverse_kl - 999 / 52_000) < 4 * 0.0009


# --- both ----------------------------------------------------------------------------------------


def test_names() -> None:
    assert ModeScores(count=7, of=8, good_share=0.5, reverse_kl=0.25).named() == {
        "modes/count": 7.0,
        "modes/of": 8.0,
        "modes/good_share": 0.5,
        "modes/reverse_kl": 0.25,
    }
    of_images = perfect_sampler(STACKED, seed=0).named()
    assert of_images["modes/confident_count"] == 1000
    assert of_images["modes/confidence"] == 1
    assert len(of_images) == 6
    assert all(type(value) is float for value in of_images.values())


def test_samples_are_a_function_of_the_seed() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, again, other = (perfect_sampler(GRID, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert torch.equal(torch.get_rng_state(), state)
