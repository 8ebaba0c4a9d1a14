"""Pairs within radii, counted from bounds and decided exactly at the edge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.neighbours import (
    WithinRadii,
    bounds,
    byte_search,
    pairs_within,
    within_radii,
)
from ganstoch.metrics.neighbours.byte_search import exact_distances
from ganstoch.types import Norm

NORMS: tuple[Norm, ...] = ("l1", "l2")


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def grey(*shape: int, seed: int) -> Tensor:
    return draw(*shape, seed=seed, scale=40).add(128).clamp(0, 255)


def every(first: Tensor, second: Tensor, norm: Norm) -> Tensor:
    i, j = torch.meshgrid(torch.arange(len(first)), torch.arange(len(second)), indexing="ij")
    found = exact_distances(first, second, i.flatten(), j.flatten(), norm=norm)
    return found.reshape(len(first), len(second))


def assert_counts(first: Tensor, second: Tensor, radii: tuple[Tensor, Tensor], norm: Norm) -> None:
    apart = every(first, second, norm)
    one, other = apart < radii[0][:, None], apart < radii[1][None]
    found = pairs_within(first, second, first_radii=radii[0], second_radii=radii[1], norm=norm)
    assert torch.equal(found.in_ball_of_first, one.sum(1))
    assert torch.equal(found.balls_of_first_around, one.sum(0))
    assert torch.equal(found.balls_of_second_around, other.sum(1))


def test_by_hand() -> None:
    found = pairs_within(
        torch.tensor([[0.0], [10.0]]),
        torch.tensor([[1.0], [2.0], [9.0]]),
        first_radii=torch.tensor([2.0, 1.5]),
        second_radii=torch.tensor([1.5, 0.0, 9.0]),
        norm="l2",
    )
    one = torch.tensor
    expected = WithinRadii(
        in_ball_of_first=one([1, 1]),  # 2 is at distance 2: not within 2
        balls_of_first_around=one([1, 0, 1]),
        balls_of_second_around=one([1, 1]),  # nothing is within 0, nor 0 within 9 of 9
    )
    for name in WithinRadii.__slots__:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["bytes", "grey", "any", "double"])
@pytest.mark.parametrize("blocks", [False, True])
def test_radii_that_are_distances(
    norm: Norm, kind: str, blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each radius is one of the distances themselves: no bound can tell, and `<` must."""
    first, second = grey(60, 24, seed=1), grey(45, 24, seed=2)
    second[:9] = first[:9]
    if kind == "bytes":
        first, second = first.byte(), second.byte()
    elif kind != "grey":
        first, second = first - 900, second - 900
        first, second = (first.double(), second) if kind == "double" else (first, second)
    if blocks:
        monkeypatch.setattr(within_radii, "_FIRST_ROWS", 7)
        monkeypatch.setattr(within_radii, "_SECOND_ROWS", 11)
        monkeypatch.setattr(within_radii, "_MANY", 1)
        monkeypatch.setattr(byte_search, "_EXACT_ELEMENTS", 24 * 5)
        monkeypatch.setattr(bounds, "_BYTE_TILE", 4)
    apart = every(first, second, norm)
    rank = torch.arange(60) % 45
    radii = apart.sort(1).values.gather(1, rank[:, None])[:, 0]
    theirs = apart.sort(0).values[12].clone()
    theirs[::4] *= 1 + 2**-50
    assert_counts(first, second, (radii, theirs), norm)


@pytest.mark.parametrize("norm", NORMS)
def test_crowds_take_the_finer_ruler(norm: Norm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(within_radii, "_MANY", 10)
    centre = draw(1, 32, seed=3, scale=40)
    spread = 1e-6 * draw(50, 32, seed=4).double()
    centres = torch.cat([centre, -centre]).double()  # two crowds, so that no mean undoes one
    first = (centres[:, None] + spread[None, :25]).flatten(0, 1)
    second = (centres[:, None] + spread[None, 25:]).flatten(0, 1)
    typical = every(first, second, norm).sort(1).values[:, 12]
    assert_counts(first, second, (typical, typical.flip(0)), norm)


def test_few_pairs_need_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 360,000 pairs the bounds leave hardly any, which is what makes them worth having."""
    looked_at: list[int] = []

    def counted(*args: Tensor, norm: Norm) -> Tensor:
        looked_at.append(len(args[2]))
        return exact_distances(*args, norm=norm)

    monkeypatch.setattr(within_radii, "exact_distances", counted)
    first, second = draw(600, 256, seed=5), draw(600, 256, seed=6)
    radii = torch.full((600,), 21.0)
    found = pairs_within(first, second, first_radii=radii, second_radii=radii, norm="l2")
    assert 5_000 < found.in_ball_of_first.sum() < 100_000
    assert sum(looked_at) < 2_000
    exact = "donot_use_mm_for_euclid_dist"
    apart = torch.cdist(first.double(), second.double(), compute_mode=exact)
    assert torch.equal(found.in_ball_of_first, (apart < 21).sum(1))


@pytest.mark.parametrize(
    ("second", "radii", "message"),
    [
        (torch.zeros(3, 5), torch.ones(3), "first has 2, second has 5"),
        (torch.zeros(3, 2), torch.ones(4), "second_radii must be 3"),
        (torch.zeros(3, 2), -torch.ones(3), "at least 0"),
        (torch.zeros(3, 2), torch.full((3,), torch.nan), "at least 0"),
        (torch.full((3, 2), torch.inf), torch.ones(3), "second contains NaN"),
    ],
)
def test_refusals(second: Tensor, radii: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pairs_within(
            torch.zeros(4, 2), second, first_radii=torch.ones(4), second_radii=radii, norm="l2"
        )
