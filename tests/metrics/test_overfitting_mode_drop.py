"""Definitions by hand, and scenarios that fix which direction is which."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.overfitting import TailMeans, overfitting_mode_drop, tail_means


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("count", "worst10", "worst5"),
    [(1, 1, 1), (9, 1, 1), (11, 2, 1), (20, 2, 1), (21, 3, 2), (30, 3, 2), (200, 20, 10)],
)
def test_worst_are_the_largest(count: int, worst10: int, worst5: int) -> None:
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(count)) + 1

    def top(k: int) -> float:
        return sum(range(count - k + 1, count + 1)) / k

    assert tail_means(shuffled.float()) == TailMeans(
        mean=(count + 1) / 2, worst10=top(worst10), worst5=top(worst5)
    )


def test_tail_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"shape \(Q,\), got \(0,\)"):
        tail_means(torch.zeros(0))
    with pytest.raises(ValueError, match=r"got \(2, 2\)"):
        tail_means(torch.zeros(2, 2))


def test_copy_all() -> None:
    real = draw(60, 32, seed=1)
    both = overfitting_mode_drop(real, real[torch.randperm(60)], norm="l2", queries=None)
    assert (
        both.overfitting.tail == both.mode_drop.tail == TailMeans(mean=0.0, worst10=0.0, worst5=0.0)
    )


def test_copy_one() -> None:
    """A generator that knows one image overfits wholly and drops all the others."""
    real = draw(60, 32, seed=2)
    both = overfitting_mode_drop(real, real[17].expand(40, 32), norm="l1", queries=None)
    assert both.overfitting.tail.worst5 == 0.0
    assert both.overfitting.neighbours.ids.unique().tolist() == [17]
    expected = (real - real[17]).abs().sum(1).double().mean().item()
    assert both.mode_drop.tail.mean == pytest.approx(expected, rel=1e-6)
    assert both.mode_drop.neighbours.distances[17] == 0


def test_drop_half() -> None:
    """Two far modes, one never generated: exactly half of the data is far away."""
    near, far = draw(50, 8, seed=3), draw(50, 8, seed=4) + 1000
    real = torch.cat([near, far])
    both = overfitting_mode_drop(real, near, norm="l2", queries=None)
    assert both.overfitting.tail.worst5 == 0.0
    distances = both.mode_drop.neighbours.distances
    assert (distances[:50] == 0).all()
    assert (distances[50:] > 2000).all()
    assert both.mode_drop.tail.worst10 > 2 * both.mode_drop.tail.mean * 0.99


def test_whole_other_side_is_searched() -> None:
    real, generated = draw(300, 6, seed=9), draw(250, 6, seed=10)
    sampled = overfitting_mode_drop(real, generated, norm="l1", queries=20, seed=3)
    whole = overfitting_mode_drop(real, generated, norm="l1", queries=None)
    for some, every in (
        (sampled.overfitting, whole.overfitting),
        (sampled.mode_drop, whole.mode_drop),
    ):
        assert len(some.queries) == 20
        assert len(some.queries.unique()) == 20
        assert torch.equal(some.neighbours.distances, every.neighbours.distances[some.queries])
        assert torch.equal(some.neighbours.ids, every.neighbours.ids[some.queries])
    assert max(sampled.mode_drop.queries) > 250 > max(sampled.overfitting.queries)
    assert max(sampled.overfitting.neighbours.ids) > 250


def test_samples_are_the_same_in_every_evaluation() -> None:
    real = draw(100, 3, seed=11)
    first, later = (
        overfitting_mode_drop(real, draw(100, 3, seed=s), norm="l1", queries=10, seed=5)
        for s in (12, 13)
    )
    assert torch.equal(first.overfitting.queries, later.overfitting.queries)
    assert torch.equal(first.mode_drop.queries, later.mode_drop.queries)
    assert not torch.equal(first.overfitting.queries, first.mode_drop.queries)
    other = overfitting_mode_drop(real, real, norm="l1", queries=10, seed=6)
    assert not torch.equal(first.mode_drop.queries, other.mode_drop.queries)


def test_refuses() -> None:
    real = draw(4, 3, seed=1)
    with pytest.raises(ValueError, match="queries"):
        overfitting_mode_drop(real, real, norm="l1", queries=0)
    with pytest.raises(ValueError, match="scale"):
        overfitting_mode_drop(real, real, norm="l1", scale=0.0)
