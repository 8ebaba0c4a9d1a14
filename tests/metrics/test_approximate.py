"""Approximate searches: how good they are is told rightly, and what they return is exact for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.neighbours import (
    approximate,
    approximate_searches,
    k_nearest,
    nearest_neighbours,
    within_set_nearest,
)
from ganstoch.metrics.neighbours.approximate import FirstLook, Lists
from ganstoch.metrics.neighbours.installed import sharded
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Norm

pytest.importorskip("faiss")
NORMS: tuple[Norm, ...] = ("l1", "l2")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of hundreds count as large, and are searched in lists whatever that takes."""
    monkeypatch.setattr(approximate, "_LEAST", 500)
    monkeypatch.setattr(approximate, "_SCANNED", 1)


@pytest.fixture
def look() -> Iterator[FirstLook]:
    with approximate_searches(seed=3) as look:
        yield look


def rows(kind: str, count: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 24, generator=rng)
    if kind == "random":
        return noise
    centres = 5 * torch.randn(30, 24, generator=torch.Generator().manual_seed(9))
    points = centres[torch.randint(30, (count,), generator=rng)] + noise
    return points if kind == "clustered" else points.mul(8).add(128).clamp(0, 255).byte()


def brute(query: Tensor, bank: Tensor, norm: Norm, k: int) -> tuple[Tensor, Tensor]:
    every = torch.cdist(
        query.double(),
        bank.double(),
        p=1.0 if norm == "l1" else 2.0,
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    near = every.sort(dim=1, stable=True)
    return near.values[:, :k], near.indices[:, :k]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("goal", [0.0, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["random", "clustered", "bytes"])
def test_recall_is_that_of_a_count(
    kind: str, norm: Norm, goal: float, look: FirstLook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "_GOAL", goal)
    monkeypatch.setattr(approximate, "_SLAB_ELEMENTS", 24 * 900)  # two of them
    query, bank = rows(kind, 600, 1), rows(kind, 1500, 2)
    near = k_nearest(query, bank, k=3, norm=norm)
    values, _ = brute(query, bank, norm, 3)
    found = (near.distances <= values * (1 + 1e-12)).double()
    rng = rng_for(3, "evaluation", part="first look")
    judged = without_replacement(600, 512, rng)[1::2]
    assert look.recalls == [pytest.approx(found[judged].mean().item(), abs=1e-12)]
    assert abs(look.recalls[0] - found.mean().item()) < 0.08
    assert found.mean() > goal - 0.08
    assert goal > 0 or kind == "clustered" or found.mean() < 0.9  # of one list, 1 of 120
    taken = (query.double()[:, None] - bank[near.ids].double()).norm(
        p=1 if norm == "l1" else 2, dim=2
    )
    torch.testing.assert_close(near.distances, taken, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gpus", [0, 1, 2, 3])
def test_all_lists_are_all_members(
    gpus: int, gpu_build: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = gpu_build(gpus)
    monkeypatch.setattr(approximate, "load_faiss", lambda: build)
    query, bank = rows("bytes", 300, 1), rows("bytes", 700, 2)
    lists = Lists(bank, seed=0)
    lists.index.nprobe = lists.index.nlist
    lists.index = sharded(build, lists.index)
    assert build.split == (gpus > 0)
    near, exact = lists.nearest(query, k=4, norm="l2"), k_nearest(query, bank, k=4, norm="l2")
    assert torch.equal(near.distances, exact.distances)


def test_lists_that_hold_too_few(look: FirstLook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "_GOAL", 0.0)
    query, bank = rows("random", 500, 1), rows("random", 600, 2)
    near = k_nearest(query, bank, k=50, norm="l2")  # of lists of about 6
    torch.testing.assert_close(near.distances, brute(query, bank, "l2", 50)[0])
    assert look.recalls == [1.0]


def test_duplicates_and_ties(look: FirstLook) -> None:
    bank = rows("clustered", 600, 2).repeat(3, 1)
    near = k_nearest(bank[600:1200], bank, k=2, norm="l2")
    first = torch.arange(600)
    assert torch.equal(near.ids, torch.stack([first, first + 600], 1))
    assert not near.distances.any()
    assert torch.equal(nearest_neighbours(bank[1200:], bank, norm="l1").ids, first)
    other = within_set_nearest(bank, norm="l2")
    assert not other.distances.any()
    assert not (other.ids == torch.arange(1800)).any()
    assert look.recalls == [1.0] * 3


def test_the_second_look_decides(look: FirstLook, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one sees numbers rounded so coarsely that their own order is another."""
    query, bank = rows("clustered", 500, 1), rows("clustered", 800, 2)
    exact = brute(query, bank, "l2", 5)
    blurred = Lists._floats
    monkeypatch.setattr(Lists, "_floats", lambda self, rows: blurred(self, rows).round(1))
    monkeypatch.setattr(approximate, "_TIMES", {"l2": 8})
    near = k_nearest(query, bank, k=5, norm="l2")
    same = (near.ids == exact[1]).all(1)
    monkeypatch.setattr(approximate, "_TIMES", {"l2": 1})
    lists = Lists(bank, seed=0)
    lists.index.nprobe = lists.index.nlist
    alone = lists.nearest(query, k=5, norm="l2")
    assert (alone.ids == exact[1]).all(1).double().mean() < 0.5
    assert same.double().mean() > 0.97
    torch.testing.assert_close(near.distances[same], exact[0][same])


def test_numbers_of_any_size(look: FirstLook) -> None:
    bank = rows("clustered", 700, 2).double()
    for scale, shift in ((2.0**100, 0.0), (2.0**-300, 0.0), (1.0, 2.0**20)):
        there = bank * scale + shift
        near = nearest_neighbours(there[100:] + 1e-3 * scale, there, norm="l2")
        assert torch.equal(near.ids, torch.arange(100, 700))


def test_what_is_searched_exactly(look: FirstLook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise, small sets, and all once the context is left."""
    monkeypatch.setattr(approximate, "_SCANNED", 16)
    query, bank = rows("random", 600, 1), rows("random", 700, 2)
    nearest = brute(query, bank, "l2", 1)[1][:, 0]
    assert torch.equal(nearest_neighbours(query, bank, norm="l2").ids, nearest)
    assert look.recalls == [1.0]
    nearest_neighbours(query[:499], bank, norm="l2")
    assert len(look.recalls) == 1
    with pytest.raises(KeyError), approximate_searches(seed=0):
        raise KeyError
    assert approximate.ACTIVE.get() is look
    monkeypatch.setattr(approximate, "load_faiss", lambda: None)
    with pytest.raises(UserError, match="pip install"), approximate_searches(seed=0):
        pass


def test_exact_by_default() -> None:
    assert approximate.ACTIVE.get() is None
