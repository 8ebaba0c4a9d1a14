"""Label flipping and label smoothing."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import LabelFlipping, LabelSmoothing, Packing, Remedy
from ganstoch.remedies.base import DiscriminatorPass

ALL_FLIPPED = LabelFlipping(probability=1.0)
SMOOTHED = LabelSmoothing(real=(0.9, 0.9), fake=(0.2, 0.2))


def labels(remedy: Remedy, scores: DiscriminatorPass) -> tuple[Tensor, Tensor]:
    """Of real and of generated examples, plain ones before."""
    ones = torch.ones_like(scores.of_fake.logits)
    return remedy.targets(ones, 0 * ones, scores)


def test_flips_as_often_as_it_should_on_both_sides_by_themselves(tiny: SimpleNamespace) -> None:
    gan, flipping = tiny.make(), LabelFlipping(probability=0.3)
    drawn = [labels(flipping, tiny.scores(gan, iteration)) for iteration in range(100)]
    flips = [(real == 0, fake == 1) for real, fake in drawn]
    for side in (0, 1):
        flipped = torch.cat([both[side] for both in flips]).double()
        sigma = math.sqrt(0.3 * 0.7 / len(flipped))
        assert abs(flipped.mean().item() - 0.3) < 4 * sigma
    assert any(not torch.equal(real, fake) for real, fake in flips)
    assert any(not torch.equal(flips[0][0], other[0]) for other in flips[1:])


def test_soft_labels_fill_their_ranges_and_no_more(tiny: SimpleNamespace) -> None:
    gan = tiny.make()
    drawn = [labels(LabelSmoothing(), tiny.scores(gan, i)) for i in range(60)]
    for side, (low, high) in enumerate([(0.7, 1.2), (0.0, 0.3)]):
        values = torch.cat([pair[side] for pair in drawn])
        assert low <= values.min() < low + 0.02
        assert high - 0.02 < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.03)
    real, fake = drawn[0]
    assert len(set(real.tolist())) == len(set(fake.tolist())) == tiny.m  # one for each example
    assert not torch.equal((real - 0.7) / 0.5, fake / 0.3)  # of their own
    assert not torch.equal(real, drawn[1][0])  # anew at each iteration


def test_ranges_may_come_as_lists(tiny: SimpleNamespace) -> None:
    """As they do from a file of settings."""
    ranges: dict[str, Any] = {"real": [0.9, 0.9], "fake": [0.2, 0.2]}
    scores = tiny.scores(tiny.make())
    one, other = (labels(remedy, scores) for remedy in (LabelSmoothing(**ranges), SMOOTHED))
    assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("kind", [LabelFlipping, LabelSmoothing])
def test_a_pack_has_one_label(tiny: SimpleNamespace, kind: type[Remedy]) -> None:
    real, fake = labels(kind(), tiny.scores(tiny.make(Packing(size=2))))
    assert real.shape == fake.shape == (tiny.m // 2,)


@pytest.mark.parametrize(
    ("given", "of_real", "of_fake"),
    [
        ([ALL_FLIPPED], 0.0, 1.0),
        ([LabelSmoothing(real=(0.9, 0.9), fake=(0.0, 0.0))], 0.9, 0.0),  # the paper's
        ([ALL_FLIPPED, SMOOTHED], 0.2, 0.9),
        ([SMOOTHED, ALL_FLIPPED], 0.1, 0.8),
    ],
)
def test_the_loss_is_the_cross_entropy_of_the_labels_in_the_order_given(
    tiny: SimpleNamespace, given: list[Remedy], of_real: float, of_fake: float
) -> None:
    """-[t log s(x) + (1 - t) log(1 - s(x))] for each logit x of label t."""
    gan = tiny.make(*given).double()
    scores, expected = tiny.scores(gan), 0.0
    for output, t in ((scores.of_real, of_real), (scores.of_fake, of_fake)):
        for x in output.logits.tolist():
            s = 1 / (1 + math.exp(-x))
            expected -= (t * math.log(s) + (1 - t) * math.log(1 - s)) / tiny.m
    assert gan.discriminator_loss(scores).item() == pytest.approx(expected, abs=1e-12)
