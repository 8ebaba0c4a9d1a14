"""The relativistic losses, of pairs and of averages, against the authors' formulas."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from ganstoch.objectives import Objective, Relativistic, RelativisticAverage
from ganstoch.rng import normal, rng_for

Losses = tuple[Tensor, Tensor]
Function = Callable[[Tensor], Tensor]
Formula = Callable[[Tensor, Tensor], Losses]


def logits(count: int, draw: int) -> Tensor:
    return normal((count,), rng_for(0, "data", draw)).double().mul_(3.0).requires_grad_()


def both(loss: Objective, real: Tensor, fake: Tensor) -> Losses:
    return loss.discriminator(real, fake), loss.generator(fake, real)


def s(t: float) -> float:
    return 1 / (1 + math.exp(-t))


# The losses of the author's program; those of averages twice, because it halves them.
def pairs(real: Tensor, fake: Tensor) -> Losses:
    ones = torch.ones_like(real)
    return cross_entropy(real - fake, ones), cross_entropy(fake - real, ones)


def chance(label: int) -> Function:
    return lambda t: cross_entropy(t, torch.full_like(t, label))


def average(one: Function, zero: Function) -> Formula:
    def losses(real: Tensor, fake: Tensor) -> Losses:
        x, y = real - torch.mean(fake), fake - torch.mean(real)
        return one(x) + zero(y), zero(x) + one(y)

    return losses


CASES: list[tuple[Objective, Formula]] = [
    (Relativistic(), pairs),
    (RelativisticAverage(), average(chance(1), chance(0))),
    (
        RelativisticAverage("hinge"),
        average(
            lambda t: torch.clamp(1 - t, min=0).mean(), lambda t: torch.clamp(1 + t, min=0).mean()
        ),
    ),
    (
        RelativisticAverage("least_squares"),
        average(lambda t: ((t - 1) ** 2).mean(), lambda t: ((t + 1) ** 2).mean()),
    ),
]
each = pytest.mark.parametrize("loss", [loss for loss, _ in CASES])


@pytest.mark.parametrize(("loss", "authors"), CASES)
def test_is_the_authors_formula_gradients_through_the_averages_and_all(
    loss: Objective, authors: Formula
) -> None:
    real, fake = logits(20, 0), logits(20, 1)
    for ours, theirs in zip(both(loss, real, fake), authors(real, fake), strict=True):
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
        slopes = [torch.autograd.grad(it, [real, fake]) for it in (ours, theirs)]
        for one, other in zip(*slopes, strict=True):
            assert one.tolist() == pytest.approx(other.tolist(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("lead", [-100.0, -30.0, -5.0, 0.0, 5.0, 30.0, 100.0])
def test_slopes_of_pairs_in_closed_form(lead: float) -> None:
    real = torch.full((4,), lead + 2, dtype=torch.double, requires_grad=True)
    fake = torch.full((4,), 2.0, dtype=torch.double, requires_grad=True)
    loss_d, loss_g = both(Relativistic(), real, fake)
    slopes = [each for loss in (loss_d, loss_g) for each in torch.autograd.grad(loss, [real, fake])]
    expected = [-s(-lead), s(-lead), s(lead), -s(lead)]
    for slope, value in zip(slopes, expected, strict=True):
        assert slope.tolist() == pytest.approx([value / 4] * 4, rel=1e-12, abs=0)


@pytest.mark.parametrize("offset", [-60.0, 0.0, 60.0])
def test_logistic_slopes_of_averages_in_closed_form(offset: float) -> None:
    """Of a logit itself and, the second term, of the average that it is part of."""
    real = (logits(5, 0).detach() + offset).requires_grad_()
    fake = logits(7, 1)  # counts may differ
    mean_r, mean_f = real.mean().item(), fake.mean().item()
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
def test_a_shift_of_all_logits_changes_nothing(loss: Objective, shift: float) -> None:
    real, fake = logits(20, 0), logits(20, 1)
    for before, after in zip(
        both(loss, real, fake), both(loss, real + shift, fake + shift), strict=True
    ):
        assert after.item() == pytest.approx(before.item(), rel=1e-12)
    lifted, plain = both(loss, real + shift, fake)[0], both(loss, real, fake)[0]
    assert lifted.item() != pytest.approx(plain.item(), rel=0.1)


def test_pairs_are_made_by_position_and_must_be_whole() -> None:
    loss, real, fake = Relativistic(), logits(20, 0), logits(20, 1)
    shuffled = loss.discriminator(real.roll(1), fake)
    assert shuffled.item() != pytest.approx(loss.discriminator(real, fake).item(), rel=1e-3)
    with pytest.raises(AssertionError):
        loss.discriminator(real, fake[:1])
