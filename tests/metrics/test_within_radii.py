"""Pairs within radii, counted from bounds and decided exactly at the edge."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.neighbours import bounds, byte_search, pairs_within, within_radii
from ganstoch.metrics.neighbours.byte_search import exact_distances
from ganstoch.types import Norm


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def every(first: Tensor, second: Tensor, norm: Norm) -> Tensor:
    i, j = torch.meshgrid(torch.arange(len(first)), torch.arange(len(second)), indexing="ij")
    distances = exact_distances(first, second, i.flatten(), j.flatten(), norm=norm)
    return distances.reshape(len(first), len(second))


def assert_counts(first: Tensor, second: Tensor, radii: tuple[Tensor, Tensor], norm: Norm) -> None:
    apart = every(first, second, norm)
    one, other = apart < radii[0][:, None], apart < radii[1][None]
    counts = pairs_within(first, second, first_radii=radii[0], second_radii=radii[1], norm=norm)
    assert torch.equal(counts.in_ball_of_first, one.sum(1))
    assert torch.equal(counts.balls_of_first_around, one.sum(0))
    assert torch.equal(counts.balls_of_second_around, other.sum(1))


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("kind", ["bytes", "grey", "any", "double"])
@pytest.mark.parametrize("blocks", [False, True])
def test_radii_that_are_distances(norm: Norm, kind: str, blocks: bool, monkeypatch: Any) -> None:
    first, second = (draw(n, 24, seed=n).mul(40).add(128).clamp(0, 255) for n in (60, 45))
    second[:9] = first[:9]
    if kind == "bytes":
        first, second = first.byte(), second.byte()
    elif kind != "grey":
        first, second = first - 900, second - 900
        first, second = (first.double(), second) if kind == "double" else (first, second)
    if blocks:
        settings = {"_FIRST_ROWS": 7, "_SECOND_ROWS": 11, "_MANY": 1}
        for name, size in settings.items():
            monkeypatch.setattr(within_radii, name, size)
        monkeypatch.setattr(byte_search, "_EXACT_ELEMENTS", 24 * 5)
        monkeypatch.setattr(bounds, "_BYTE_TILE", 4)
    apart = every(first, second, norm)
    rank = torch.arange(60) % 45
    radii = apart.sort(1).values.gather(1, rank[:, None])[:, 0]
    theirs = apart.sort(0).values[12].clone()
    theirs[::4] *= 1 + 2**-50
    assert_counts(first, second, (radii, theirs), norm)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_crowds_take_the_finer_ruler(norm: Norm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(within_radii, "_MANY", 10)
    centre = 40 * draw(1, 32, seed=3)
    spread = 1e-6 * draw(50, 32, seed=4).double()
    centres = torch.cat([centre, -centre]).double()  # two crowds, so that no mean undoes one
    first = (centres[:, None] + spread[None, :25]).flatten(0, 1)
    second = (centres[:, None] + spread[None, 25:]).flatten(0, 1)
    typical = every(first, second, norm).sort(1).values[:, 12]
    assert_counts(first, second, (typical, typical.flip(0)), norm)


def test_few_pairs_need_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[int] = []

    def counted(*args: Any, norm: Norm) -> Tensor:
        pairs.append(len(args[2]))
        return exact_distances(*args, norm=norm)

    monkeypatch.setattr(within_radii, "exact_distances", counted)
    first, second, radii = draw(600, 256, seed=5), draw(600, 256, seed=6), torch.full((600,), 21.0)
    assert_counts(first, second, (radii, radii), "l2")
    assert sum(pairs) < 2_000


@pytest.mark.parametrize(
    ("second", "radii", "message"),
    [
        (torch.zeros(3, 5), torch.ones(3), "first has 2, second has 5"),
        (torch.zeros(3, 2), torch.ones(4), "3 radii of at least 0"),
        (torch.zeros(3, 2), torch.full((3,), torch.nan), "3 radii of at least 0"),
    ],
)
def test_refusals(second: Tensor, radii: Tensor, message: str) -> None:
    first = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=message):
        pairs_within(first, second, first_radii=torch.ones(4), second_radii=radii, norm="l2")
