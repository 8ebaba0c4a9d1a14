"""The search under edits is near a plain loop, finds what is planted, is fair to unseen images."""

from itertools import product

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from ganstoch.metrics.copy_score import copy_scores, left_out_scores
from ganstoch.metrics.edited_copies import edited_copy_scores, left_out_edited_scores


def squares(side: int = 32) -> Tensor:
    """Of two photographs: half of them to train on, every other one."""
    pictures = [
        torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images
    ]
    cut = [p.unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4) for p in pictures]
    return torch.cat([each.reshape(-1, 3, side, side) for each in cut])


SQUARES = squares()
TRAIN, UNSEEN = SQUARES[::2].contiguous(), SQUARES[1::2].contiguous()


def turned(image: Tensor, turn: int) -> Tensor:
    return torch.rot90(image.flip(-1) if turn >= 4 else image, turn % 4, (-2, -1))


def least_difference(image: Tensor, member: Tensor, margin: int) -> float:
    """Over flips, quarter turns and shifts, in the middle, scaled to all pixels; a plain loop."""
    height, width = image.shape[1:]
    square = height == width
    least = float("inf")
    for turn in range(8) if square else range(0, 8, 2):
        middle = turned(image, turn).double()
        middle = middle[:, margin : height - margin, margin : width - margin]
        for down, right in product(range(-margin, margin + 1), repeat=2):
            window = member[:, margin + down : height - margin + down]
            window = window[:, :, margin + right : width - margin + right].double()
            least = min(least, float((middle - window).abs().sum()))
    return least * image.numel() / middle.numel()


@pytest.mark.parametrize(
    ("side", "margin"), [((32, 32), 4), ((24, 40), 4), ((8, 8), 1), ((2, 2), 0), ((1, 5), 0)]
)
def test_distances_are_near_a_plain_loop_s(side: tuple[int, int], margin: int) -> None:
    # As few members as the second look takes: the first but says how they are turned.
    train, images = (squares(40)[s, :, : side[0], : side[1]] for s in (slice(9), slice(40, 44)))
    scores, edits = edited_copy_scores(images, train, seed=0)
    expected = [[least_difference(i, m, margin) for m in train] for i in images]
    least = torch.tensor(expected, dtype=torch.float64).amin(1)
    assert (scores.neighbours.distances >= least - 1e-6).all()
    assert (scores.neighbours.distances <= 1.1 * least).all()
    near = torch.tensor(expected)[torch.arange(4), scores.neighbours.ids]
    assert (near <= 1.1 * least).all()
    assert edits.shifts.abs().max() <= margin


def test_every_turn_and_shift_is_found_and_told() -> None:
    shifts = [(0, 0), (1, 0), (0, -2), (4, 4), (-4, 3), (2, -4)]
    which = torch.arange(48) * 5
    made = torch.stack(
        [turned(TRAIN[i], k % 8).roll(shifts[k // 8], (1, 2)) for k, i in enumerate(which)]
    )
    scores, edits = edited_copy_scores(made, TRAIN, seed=0)
    assert torch.equal(scores.neighbours.ids, which)
    assert scores.neighbours.distances.max() == 0
    assert scores.scores.max() == 0
    assert copy_scores(made.flatten(1), TRAIN.flatten(1), norm="l1").scores[1:].min() > 0
    for k in range(48):
        words = edits.words(k)
        assert ("mirrored" in words) == (k % 8 >= 4)
        assert ("90" in words or "270" in words) == (k % 2 == 1)
        assert (f"shifted by {max(map(abs, shifts[k // 8]))} px" in words) == (k >= 8)
    assert edits.words(0) == ""


def test_unseen_images_are_searched_alike() -> None:
    unseen, _ = edited_copy_scores(UNSEEN, TRAIN, seed=0)
    left_out = left_out_edited_scores(TRAIN, seed=0)
    assert (left_out.neighbours.ids != torch.arange(len(TRAIN))).all()
    assert abs(unseen.scores.median() - left_out.scores.median()) < 0.05
    plain = copy_scores(UNSEEN.flatten(1), TRAIN.flatten(1), norm="l1")
    # Scaled from the middle to the whole an image may lie a little farther than in full.
    assert (unseen.neighbours.distances <= 1.5 * plain.neighbours.distances).all()


def test_members_of_a_group_are_no_copies_of_each_other() -> None:
    pairs = torch.cat([TRAIN[:60], TRAIN[:60].flip(3)])
    groups = torch.arange(60).repeat(2)
    alone = left_out_edited_scores(pairs, seed=0)
    assert alone.scores.max() == 0
    apart = left_out_edited_scores(pairs, seed=0, groups=groups)
    assert apart.neighbours.distances.min() > 0
    assert (groups[apart.neighbours.ids] != groups).all()


@pytest.mark.parametrize("times", [1, 2])
def test_repeats_are_taken_as_without_edits(times: int) -> None:
    """Everybody twice is everybody once; a single image that repeats is found."""
    train = torch.cat([TRAIN[:50]] * times + ([TRAIN[:1]] if times == 1 else []))
    edited, plain = (
        left_out_edited_scores(train, seed=0),
        left_out_scores(train.flatten(1), norm="l1"),
    )
    same = plain.neighbours.distances == 0
    assert torch.equal(edited.neighbours.distances == 0, same)
    assert int(same.sum()) == (2 if times == 1 else 0)
