"""What ranks find in their shares is what one rank finds in all, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganstoch.callbacks.shards import Found, Search, stretch
from ganstoch.data import Digits, ImageData
from ganstoch.errors import UserError
from ganstoch.metrics import make_extractor, overfitting_mode_drop
from ganstoch.metrics.functional import nearest_of_sample


@pytest.fixture(scope="module")
def data() -> ImageData:
    made = ImageData(Digits(), n=40, m=8)
    made.setup("fit")
    return made


def images(count: int) -> Tensor:
    """Floats in [-1, 1], each of them twice, so that there are ties between stretches."""
    half = torch.rand(-(-count // 2), 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return torch.cat([half, half])[:count].mul(2).sub(1).double()


def measured(data: ImageData, made: Tensor, *, world: int, queries: int | None) -> Found:
    shards = []
    for rank in range(world):
        own = stretch(len(made), rank=rank, world=world)
        search = Search({"pixel": make_extractor("pixel")}, queries=queries)  # each has its own
        shards.append(
            search.look(data, made[own], ["pixel"], start=own.start, of=len(made), unseen=True)
        )
    return search.merge(data, shards)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("queries", [None, 5])
@pytest.mark.parametrize("count", [26, 5])
def test_shares_together_are_the_whole(
    data: ImageData, world: int, queries: int | None, count: int
) -> None:
    made = images(count)
    found = measured(data, made, world=world, queries=queries)
    extractor = make_extractor("pixel")
    real, features = extractor(data.subset.pixels), extractor(made)
    scale = extractor.scale(features.shape[1])
    whole = overfitting_mode_drop(
        real, features, norm=extractor.norm, queries=queries, seed=0, scale=scale
    )
    pairs = found.pairs[extractor.name]
    for ours, theirs in (
        (pairs.overfitting, whole.overfitting),
        (pairs.mode_drop, whole.mode_drop),
    ):
        assert torch.equal(ours.queries, theirs.queries)
        assert torch.equal(ours.neighbours.ids, theirs.neighbours.ids)
        assert torch.equal(ours.neighbours.distances, theirs.neighbours.distances)
        assert ours.tail == theirs.tail
    assert whole.mode_drop.neighbours.ids.max() < -(-count // 2)  # the first of two that are alike
    assert data.held_out is not None
    unseen = nearest_of_sample(
        extractor(data.held_out),
        features,
        norm=extractor.norm,
        queries=queries,
        seed=0,
        scale=scale,
    )
    expected = whole.named(extractor.name) | unseen.tail.named(f"held_out_drop/{extractor.name}")
    assert found.metrics == expected
    assert torch.equal(found.images, made)


def test_a_share_that_is_not_finite_is_told_by_all(data: ImageData) -> None:
    made = images(10)
    made[7, 0, 3, 3] = torch.nan
    found = measured(data, made, world=3, queries=None)
    assert (found.pairs, found.metrics) == ({}, {})
    assert not found.images.isfinite().all()


@pytest.mark.parametrize("count", [0, 1, 7, 12])
@pytest.mark.parametrize("world", [1, 3, 5])
def test_stretches_follow_each_other(count: int, world: int) -> None:
    parts = [list(range(count))[stretch(count, rank=r, world=world)] for r in range(world)]
    assert [i for part in parts for i in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_nothing_is_looked_at_twice(data: ImageData) -> None:
    """Features of data and of held-out images are kept between measurements."""
    extractor = make_extractor("pixel")
    seen: list[int] = []

    class Counting(type(extractor)):  # type: ignore[misc]
        def __call__(self, given: Tensor) -> Tensor:
            seen.append(len(given))
            return extractor(given)

    search = Search({"pixel": Counting()}, queries=5)
    for _ in range(2):
        search.look(data, images(6), ["pixel"], start=0, of=6, unseen=True)
    assert data.held_out is not None
    assert seen == [40, 6, len(data.held_out), 6]


def test_ranks_that_look_in_different_spaces(data: ImageData) -> None:
    """As where one machine has the feature network's weights and another has not."""
    extractor = make_extractor("pixel")
    search = Search({"pixel": extractor, "again": extractor}, queries=5)
    one = search.look(data, images(6)[:3], ["pixel", "again"], start=0, of=6)
    other = search.look(data, images(6)[3:], ["pixel"], start=3, of=6)
    with pytest.raises(UserError, match=r"evaluation\.semantic: not every device"):
        search.merge(data, [one, other])
