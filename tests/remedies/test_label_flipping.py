from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import LabelFlipping
from ganstoch.training.gan import GAN


def flips(gan: GAN, tiny: SimpleNamespace, iteration: int) -> tuple[Tensor, Tensor]:
    """Which labels of real and of generated examples are flipped."""
    (remedy,) = gan.remedies
    ones = torch.ones(tiny.m)
    real, fake = remedy.targets(ones, 0 * ones, tiny.scores(gan, iteration))
    return real == 0, fake == 1


def test_flips_as_often_as_it_should_on_both_sides_by_themselves(tiny: SimpleNamespace) -> None:
    gan = tiny.make(LabelFlipping(probability=0.3))
    drawn = [flips(gan, tiny, iteration) for iteration in range(100)]
    for side in (0, 1):
        flipped = torch.cat([both[side] for both in drawn]).double()
        sigma = math.sqrt(0.3 * 0.7 / len(flipped))
        assert abs(flipped.mean().item() - 0.3) < 4 * sigma
    assert any(not torch.equal(real, fake) for real, fake in drawn)
    assert any(not torch.equal(drawn[0][0], other[0]) for other in drawn[1:])


def test_certain_flips_are_the_opposite_loss(tiny: SimpleNamespace) -> None:
    """log s(-x) for real logits x, log s(y) for generated ones, with the sign of a loss."""
    gan = tiny.make(LabelFlipping(probability=1.0)).double()
    scores = tiny.scores(gan)
    loss = gan.discriminator_loss_of(scores)
    s = [torch.sigmoid(c.logits) for c in (scores.of_real, scores.of_fake)]
    expected = -(torch.log(1 - s[0]).mean() + torch.log(s[1]).mean())
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
