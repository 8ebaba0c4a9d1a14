import math
from pathlib import Path

import pytest
import torch
from scipy.stats import chi2

from ganstoch.data import Bimodal, Grid, HighDimensional, Ring, choose
from ganstoch.data.gaussians import Points
from ganstoch.errors import UserError

ROOT = Path("nowhere")


def points_of(images: Points) -> torch.Tensor:
    return images.read(torch.arange(len(images)))


def test_ring_and_grid() -> None:
    ring, grid = Ring().known_modes(ROOT), Grid().known_modes(ROOT)
    turns = [i * 2 * math.pi / 8 for i in range(8)]
    expected = torch.tensor([[math.cos(turn), math.sin(turn)] for turn in turns])
    assert torch.allclose(ring.centres, expected, atol=1e-6)
    places = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(centre) for centre in grid.centres.tolist()} == places
    assert (len(grid.centres), grid.sigma, ring.sigma) == (25, 0.05, 0.01)
    assert len(Ring().open(ROOT, "held_out")) == 10_000
    assert len(Ring(size=50).open(ROOT, "held_out")) == 50
    with pytest.raises(UserError, match=r"data\.source\.size"):
        Ring(size=0)


def test_high_dimensional() -> None:
    world = HighDimensional().known_modes(ROOT)
    assert world.centres.shape == (10, 1200)
    assert (world.centres == world.centres[:, :1]).all()
    assert len(set(world.centres[:, 0].tolist())) == 10
    assert world.radius == pytest.approx(chi2.ppf(1 - math.exp(-4.5), 700) ** 0.5)
    images = HighDimensional(size=2000).open(ROOT, "train")
    around = points_of(images) - world.centres[images.labels]
    assert (around[:, 700:] == 0).all()
    assert abs(around[:, :700].std() - 1) < 0.01
    assert around.norm(dim=1).min() > 20  # no point lies within 10 standard deviations


@pytest.mark.parametrize("kind", [Ring, Grid, Bimodal])
def test_points_follow_the_mixture(kind: type[Ring]) -> None:
    images = kind().open(ROOT, "train")
    world = kind().known_modes(ROOT)
    points, count = points_of(images), len(world.centres)
    assert (points.dtype, len(images)) == (torch.float32, 100_000)
    shares = images.labels.bincount(minlength=count) / len(images)
    assert (shares - 1 / count).abs().max() < 4 * math.sqrt(1 / count / 100_000)
    around = (points - world.centres[images.labels]) / world.sigma
    assert around.mean().abs() < 0.01
    assert abs(around.std() - 1) < 0.01
    assert abs((around.norm(dim=1) < 3).double().mean() - chi2.cdf(9, points.shape[1])) < 0.002
    assert torch.equal(torch.cdist(points[:500], world.centres).argmin(1), images.labels[:500])


@pytest.mark.parametrize("kind", [Ring, Grid, HighDimensional, Bimodal])
def test_a_point_depends_on_seed_split_and_place_alone(kind: type[Ring]) -> None:
    images = kind(size=3000).open(ROOT, "train")
    points = points_of(images)
    ids = torch.tensor([2999, 5, 1024, 5, 1023])
    torch.manual_seed(0)
    state = torch.get_rng_state()
    again = kind(size=3000).open(ROOT, "train")
    assert torch.equal(again.read(ids), points[ids])
    assert torch.equal(torch.get_rng_state(), state)
    assert kind(size=7, seed=3).label == f"{kind.name}-size7-seed3"
    others = kind(size=3000, seed=1).open(ROOT, "train"), kind(size=3000).open(ROOT, "held_out")
    for other in others:
        assert not torch.isclose(other.read(ids), points[ids]).all(dim=1).any()
    assert len(torch.unique(points, dim=0)) == 3000


def test_chosen_points_are_pinned() -> None:
    # What a published number was trained on must not move with a release of ours or of torch.
    subset = choose(Ring(size=2000).open(ROOT, "train"), n=1500, seed=0)
    assert subset.labels is not None
    assert subset.labels[:8].tolist() == [4, 2, 1, 2, 7, 7, 3, 4]
    assert (subset.pixels[0] * 1e4).round().tolist() == [-9983.0, 54.0]
    assert subset.classes[7] == "mode 7"
    assert subset.names(torch.tensor([1499]))[0].startswith("train/")
