import math
from pathlib import Path

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from ganstoch.metrics.modes import ModeScores, perfect_sampler, score_classes, score_gaussians
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
STACKED = StackedClasses(samples=26_000, classifier=Path("gone"), made_by="ganstoch prepare x")


def by_hand(points: Tensor, mixture: GaussianModes) -> tuple[int, float, float]:
    """The code of PacGAN, small: modes, share of good points, KL to uniform in nats."""
    counts = [0] * len(mixture.centres)
    for point in points.tolist():
        apart = [math.dist(point, centre) / mixture.sigma for centre in mixture.centres.tolist()]
        nearest = min(range(len(apart)), key=apart.__getitem__)
        if apart[nearest] < mixture.radius:
            counts[nearest] += 1
    shares = [count / sum(counts) for count in counts]
    kl = sum(p * math.log(p * len(counts)) for p in shares if p)
    return sum(count > 0 for count in counts), sum(counts) / len(points), kl


def test_as_the_authors_compute_it() -> None:
    spread = GaussianModes(RING.centres, sigma=0.2, samples=300)  # some good, some not, all near
    points = torch.randn(300, 2, generator=rng_for(0, "evaluation", part="cloud"))
    modes, share, kl = by_hand(points, spread)
    scores = score_gaussians(points, spread)
    assert 0.1 < share < 0.9
    values = (scores.count, scores.good_share, scores.reverse_kl)
    assert values == pytest.approx((modes, share, kl))


@pytest.mark.parametrize("mixture", [RING, GRID, LINE, EMBEDDED])
def test_a_perfect_sampler_scores_as_theory_says(mixture: GaussianModes) -> None:
    scores = perfect_sampler(mixture, seed=3)
    count = len(mixture.centres)
    assert scores.count == scores.of == count
    expected = chi2.cdf(mixture.radius**2, mixture.spread)
    assert abs(scores.good_share - expected) < 4 * math.sqrt(expected * (1 - expected) / 2500)
    floors = [perfect_sampler(mixture, seed=seed).reverse_kl for seed in range(40)]
    # 2 N KL is about chi^2 with K - 1 degrees of freedom, whose variance is 2 (K - 1).
    floor = (count - 1) / (2 * 2500)
    spread = math.sqrt(2 * (count - 1)) / (2 * 2500)
    assert abs(sum(floors) / 40 - floor) < 4 * spread / math.sqrt(40)


@pytest.mark.parametrize("value", [7.0, math.nan, math.inf])
def test_noise_reaches_nothing(value: float) -> None:
    scores = score_gaussians(torch.full((50, 2), value), GRID)
    assert scores == ModeScores(count=0, of=25, good_share=0.0, reverse_kl=math.log(25))


def test_only_points_near_a_centre_are_good() -> None:
    near = RING.centres[:2] * 1.0299  # 2.99 sigma outwards
    far = RING.centres[2:] * 1.0301
    scores = score_gaussians(torch.cat([near, far]), RING)
    assert (scores.count, scores.good_share) == (2, 0.25)
    assert scores.reverse_kl == pytest.approx(math.log(4))
    # 2.5 sigma along each axis: within a box of 3, not within a circle of 3.
    assert score_gaussians(RING.centres[:1] + 0.025, RING).good_share == 0
    # Coordinates without spread count too.
    points = torch.zeros(2, 60)
    points[:, 55] = torch.tensor([8.5, 8.7])
    assert score_gaussians(points, EMBEDDED).good_share == 0.5


def test_classes() -> None:
    predicted = torch.tensor([0, 0, 0, 7, 7, 9])
    confidence = torch.tensor([0.95, 0.2, 0.2, 0.9, 0.89, 0.5], dtype=torch.float64)
    kl = sum(p * math.log(10 * p) for p in (3 / 6, 2 / 6, 1 / 6))
    assert score_classes(predicted, confidence, 10).named() == {
        "modes/count": 3.0,
        "modes/of": 10.0,
        "modes/good_share": pytest.approx(2 / 6),
        "modes/reverse_kl": pytest.approx(kl),  # of all images, as in PacGAN
        "modes/confident_count": 2.0,
        "modes/confidence": pytest.approx(3.64 / 6),
    }
    # Points have no classifier, and so no confidence.
    assert len(score_gaussians(torch.zeros(1, 2), RING).named()) == 4


def test_perfect_stacks() -> None:
    scores = perfect_sampler(STACKED, seed=0)
    assert (scores.count, scores.of, scores.confident_count) == (1000, 1000, 1000)
    assert (scores.good_share, scores.confidence) == (1.0, 1.0)
    assert abs(scores.reverse_kl - 999 / 52_000) < 4 * 0.0009


def test_samples_are_a_function_of_the_seed() -> None:
    state = torch.get_rng_state()
    one, again, other = (perfect_sampler(GRID, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert torch.equal(torch.get_rng_state(), state)
