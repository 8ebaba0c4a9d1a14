from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import LabelFlipping, LabelSmoothing, Packing, Remedy
from ganstoch.remedies.base import DiscriminatorPass

RANGES = {"real": (0.7, 1.2), "fake": (0.0, 0.3)}


def labels(remedy: Remedy, scores: DiscriminatorPass) -> tuple[Tensor, Tensor]:
    ones = torch.ones_like(scores.of_fake.logits)
    return remedy.targets(ones, 0 * ones, scores)


def test_labels_fill_their_ranges_and_no_more(tiny: SimpleNamespace) -> None:
    gan = tiny.make()
    drawn = [labels(LabelSmoothing(), tiny.scores(gan, i)) for i in range(60)]
    for side, (low, high) in enumerate(RANGES.values()):
        values = torch.cat([pair[side] for pair in drawn])
        assert low <= values.min() < low + 0.02
        assert high - 0.02 < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.03)
    real, fake = drawn[0]
    assert len(set(real.tolist())) == len(set(fake.tolist())) == tiny.m  # one for each example
    assert not torch.equal((real - 0.7) / 0.5, fake / 0.3)  # of their own
    assert not torch.equal(real, drawn[1][0])  # anew at each iteration


def test_a_pack_has_one_label(tiny: SimpleNamespace) -> None:
    real, fake = labels(LabelSmoothing(), tiny.scores(tiny.make(Packing(size=2))))
    assert real.shape == fake.shape == (tiny.m // 2,)


def test_one_sided_is_the_cross_entropy_of_the_paper(tiny: SimpleNamespace) -> None:
    """-[0.9 log s(x) + 0.1 log(1 - s(x))] for real logits x, -log(1 - s(y)) for generated y."""
    gan = tiny.make(LabelSmoothing(real=(0.9, 0.9), fake=(0.0, 0.0))).double()
    scores, expected = tiny.scores(gan), 0.0
    for x, y in zip(scores.of_real.logits.tolist(), scores.of_fake.logits.tolist(), strict=True):
        s, t = 1 / (1 + math.exp(-x)), 1 / (1 + math.exp(-y))
        expected -= (0.9 * math.log(s) + 0.1 * math.log(1 - s) + math.log(1 - t)) / tiny.m
    assert gan.discriminator_loss_of(scores).item() == pytest.approx(expected, abs=1e-12)


def test_smooths_what_was_flipped_before_and_is_flipped_after(tiny: SimpleNamespace) -> None:
    smooth, flip = LabelSmoothing(real=(0.9, 0.9), fake=(0.2, 0.2)), LabelFlipping(probability=1.0)
    scores = tiny.scores(tiny.make())
    orders = [
        smooth.targets(*labels(flip, scores), scores),
        flip.targets(*labels(smooth, scores), scores),
    ]
    for (real, fake), expected in zip(orders, [(0.2, 0.9), (0.1, 0.8)], strict=True):
        assert real.tolist() == pytest.approx([expected[0]] * tiny.m)
        assert fake.tolist() == pytest.approx([expected[1]] * tiny.m)
