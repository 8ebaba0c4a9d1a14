"""The score that tells copies from images that are merely near everything."""

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.copy_score import (
    PARTS,
    CopyScores,
    copy_scores,
    left_out_scores,
    nearest_in_parts,
)
from ganstoch.metrics.neighbours import nearest_neighbours, within_set_nearest
from ganstoch.types import Norm


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_least_over_median_of_the_parts(norm: Norm) -> None:
    images, members = draw(20, 5, seed=1), draw(90, 5, seed=2)
    parts = torch.tensor_split(torch.arange(90), 6)
    near = nearest_in_parts(images, parts, rows=members.__getitem__, norm=norm)
    apart = torch.cdist(images, members, p=1.0 if norm == "l1" else 2.0)
    each = torch.stack([apart[:, ids].amin(1) for ids in parts], dim=1).sort(1).values
    torch.testing.assert_close(CopyScores.of(*near).scores, each[:, 0] / each[:, 2:4].mean(1))


def test_neighbours_are_those_of_the_whole_set() -> None:
    images = draw(50, 4, seed=1).mul(3).round()  # with ties
    members = draw(200, 4, seed=2).mul(3).round()
    neighbours = copy_scores(images, members, norm="l1").neighbours
    whole = nearest_neighbours(images, members, norm="l1")
    assert torch.equal(neighbours.distances, whole.distances)
    assert torch.equal(neighbours.ids, whole.ids)


def test_copies_score_0_and_scale_does_not_matter() -> None:
    members, images = draw(300, 8, seed=1), draw(100, 8, seed=2)
    assert copy_scores(members[:10], members, norm="l2").scores.tolist() == [0.0] * 10
    scores = copy_scores(images, members, norm="l2").scores
    assert ((scores > 0) & (scores <= 1)).all()
    torch.testing.assert_close(copy_scores(images * 4, members * 4, norm="l2").scores, scores)


def test_duplicates_in_the_set_do_not_hide_a_copy() -> None:
    members = draw(200, 8, seed=1)
    often = torch.cat([members, members[:1].expand(400, -1)])
    alike = torch.cat([members, members[:1] + 1e-3 * draw(3, 8, seed=2)])
    for seed in range(9):
        for bank in (often, alike):
            assert copy_scores(members[:1], bank, norm="l2", seed=seed).scores.item() == 0.0


def test_left_out_members_score_as_unseen_images_do() -> None:
    members, unseen = draw(4000, 6, seed=1), draw(800, 6, seed=2)
    levels = torch.tensor([0.01, 0.1, 0.5, 0.9], dtype=torch.float64)
    own = left_out_scores(members, norm="l2").scores.quantile(levels)
    expected = copy_scores(unseen, members, norm="l2").scores.quantile(levels)
    torch.testing.assert_close(own, expected, rtol=0, atol=0.06)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_left_out_members_find_their_nearest_other(norm: Norm) -> None:
    members = draw(300, 5, seed=1)
    neighbours = left_out_scores(members, norm=norm).neighbours
    nearest = within_set_nearest(members, norm=norm)
    assert torch.equal(neighbours.distances, nearest.distances)
    assert torch.equal(neighbours.ids, nearest.ids)


def test_members_that_repeat_find_their_duplicates_unless_all_do() -> None:
    members = draw(400, 6, seed=1)
    left_out = left_out_scores(torch.cat([members, members[:40]]), norm="l2")
    assert (left_out.scores == 0).nonzero()[:, 0].tolist() == [*range(40), *range(400, 440)]
    past = left_out.beyond_near_duplicates()
    assert (past[:40] >= left_out_scores(members, norm="l2").neighbours.distances[:40]).all()
    twice = left_out_scores(members.repeat(2, 1), norm="l2")
    assert twice.scores.min() > 0.05  # every image twice is every image once


def test_what_most_parts_hold_has_nothing_past_it() -> None:
    blank = torch.cat([torch.zeros(100, 6), draw(50, 6, seed=1).float()])
    past = left_out_scores(blank, norm="l2").beyond_near_duplicates()
    assert past[:100].isfinite().all()
    assert past[:100].min() > 0
    same = CopyScores.of(torch.zeros(1, PARTS).double(), torch.arange(PARTS)[None])
    assert same.beyond_near_duplicates().isnan().all()


def test_seed_decides_the_parts() -> None:
    members, images = draw(100, 4, seed=1), draw(20, 4, seed=2)
    one, same, other = (copy_scores(images, members, norm="l2", seed=s).scores for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("members", [torch.zeros(5, 3), torch.zeros(0, 3), torch.zeros(5)])
def test_needs_different_members(members: Tensor) -> None:
    with pytest.raises(ValueError, match=r"2 different training images|shape \(N, F\)"):
        copy_scores(torch.zeros(1, 3), members, norm="l2")
    with pytest.raises(ValueError, match=r"3 different training images|shape \(N, F\)"):
        left_out_scores(members, norm="l2")
