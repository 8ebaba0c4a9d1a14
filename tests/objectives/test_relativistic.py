"""The relativistic losses, of pairs and of averages, against the authors' formulas."""

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
        average(lambda t: (1 - t).clamp(min=0).mean(), lambda t: (1 + t).clamp(min=0).mean()),
    ),
    (
        RelativisticAverage("least_squares"),
        average(lambda t: ((t - 1) ** 2).mean(), lambda t: ((t + 1) ** 2).mean()),
    ),
]


@pytest.mark.parametrize(("loss", "authors"), CASES)
@pytest.mark.parametrize("lead", [-60.0, 0.0, 60.0])
def test_is_the_authors_formula_gradients_through_the_averages_and_all(
    loss: Objective, authors: Formula, lead: float
) -> None:
    real, fake = (logits(20, 0) + lead).detach().requires_grad_(), logits(20, 1)
    for ours, theirs in zip(both(loss, real, fake), authors(real, fake), strict=True):
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
        slopes = [torch.autograd.grad(it, [real, fake]) for it in (ours, theirs)]
        for one, other in zip(*slopes, strict=True):
            assert one.tolist() == pytest.approx(other.tolist(), rel=1e-12, abs=1e-15)


def test_pairs_must_be_whole() -> None:
    with pytest.raises(AssertionError):
        Relativistic().discriminator(logits(20, 0), logits(1, 1))
