from __future__ import annotations

import math
from typing import Literal, get_args

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from ganstoch.objectives import RelativisticAverage
from ganstoch.rng import normal, rng_for

Variant = Literal["logistic", "hinge", "least_squares"]
each = pytest.mark.parametrize("variant", get_args(Variant))


def logits(count: int, draw: int) -> Tensor:
    return normal((count,), rng_for(0, "data", draw)).double().mul_(3.0).requires_grad_()


def both(variant: Variant, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    loss = RelativisticAverage(variant)
    return loss.discriminator(real, fake), loss.generator(fake, real)


def authors(variant: Variant, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Twice the losses of the author's program, which halves them."""
    x, y = real - torch.mean(fake), fake - torch.mean(real)
    if variant == "logistic":
        (x1, x0), (y1, y0) = (
            [cross_entropy(t, torch.full_like(t, label)) for label in (1, 0)] for t in (x, y)
        )
        return x1 + y0, x0 + y1
    if variant == "hinge":
        d = torch.mean(torch.clamp(1 - x, min=0)) + torch.mean(torch.clamp(1 + y, min=0))
        g = torch.mean(torch.clamp(1 + x, min=0)) + torch.mean(torch.clamp(1 - y, min=0))
        return d, g
    d = torch.mean((x - 1) ** 2) + torch.mean((y + 1) ** 2)
    g = torch.mean((x + 1) ** 2) + torch.mean((y - 1) ** 2)
    return d, g


@each
def test_is_the_authors_formula_gradients_through_the_averages_and_all(variant: Variant) -> None:
    real, fake = logits(20, 0), logits(20, 1)
    ours, theirs = both(variant, real, fake), authors(variant, real, fake)
    for our, their in zip(ours, theirs, strict=True):
        assert our.item() == pytest.approx(their.item(), rel=1e-12)
        for o, t in zip(
            torch.autograd.grad(our, [real, fake]),
            torch.autograd.grad(their, [real, fake]),
            strict=True,
        ):
            assert o.tolist() == pytest.approx(t.tolist(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("offset", [-60.0, -30.0, 0.0, 30.0, 60.0])
def test_logistic_gradients_in_closed_form(offset: float) -> None:
    """Of a logit itself and, the second term, of the average that it is part of."""
    real, fake = logits(5, 0).detach() + offset, logits(7, 1).detach()  # counts may differ
    real.requires_grad_()
    fake.requires_grad_()
    mean_r, mean_f = real.mean().item(), fake.mean().item()

    def s(t: float) -> float:
        return 1 / (1 + math.exp(-t))

    behind = [s(mean_f - r) for r in real.tolist()]  # chance given to a real image of being fake
    ahead = [s(f - mean_r) for f in fake.tolist()]  # and to a fake of being real
    loss = RelativisticAverage().discriminator(real, fake)
    for_real, for_fake = torch.autograd.grad(loss, [real, fake])
    expected = [-(b + sum(ahead) / 7) / 5 for b in behind]
    assert for_real.tolist() == pytest.approx(expected, rel=1e-7, abs=0)
    expected = [(a + sum(behind) / 5) / 7 for a in ahead]
    assert for_fake.tolist() == pytest.approx(expected, rel=1e-7, abs=0)


@each
@pytest.mark.parametrize("shift", [-40.0, 7.0])
def test_a_shift_of_all_logits_changes_nothing(variant: Variant, shift: float) -> None:
    real, fake = logits(20, 0), logits(20, 1)
    for before, after in zip(
        both(variant, real, fake), both(variant, real + shift, fake + shift), strict=True
    ):
        assert after.item() == pytest.approx(before.item(), rel=1e-12)
        ours, theirs = (torch.autograd.grad(it, fake)[0] for it in (after, before))
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-11, abs=1e-15)
    lifted = both(variant, real + shift, fake)
    assert lifted[0].item() != pytest.approx(both(variant, real, fake)[0].item(), rel=0.1)


@each
def test_gradients_of_a_whole_player_cancel(variant: Variant) -> None:
    """Since a shift changes nothing, the gradients over real and generated logits sum to 0."""
    real, fake = logits(20, 0), logits(20, 1)
    for loss in both(variant, real, fake):
        for_real, for_fake = torch.autograd.grad(loss, [real, fake])
        assert (for_real.sum() + for_fake.sum()).item() == pytest.approx(0, abs=1e-13)
        assert for_real.abs().sum() > 0.1
