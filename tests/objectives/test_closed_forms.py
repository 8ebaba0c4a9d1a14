"""The pointwise losses of one logit and their slopes, in closed form."""

import math
from collections.abc import Callable

import pytest
import torch

from ganstoch.objectives import (
    Hinge,
    LeastSquares,
    NonSaturating,
    Pointwise,
    Saturating,
    Wasserstein,
)

Form = tuple[Callable[[float], float], Callable[[float], float]]
LOGITS = [-1000.0, -100.0, -30.0, -1.5, -0.5, 0.0, 0.25, 1.5, 30.0, 100.0, 1000.0]


def s(t: float) -> float:
    """The logistic function, without overflow."""
    return 1 / (1 + math.exp(-t)) if t > 0 else math.exp(t) / (1 + math.exp(t))


def softplus(t: float) -> float:
    return max(t, 0) + math.log1p(math.exp(-abs(t)))


# A loss of the logit, and its slope.
MINUS_LOG_S: Form = (lambda t: softplus(-t), lambda t: -s(-t))
MINUS_LOG_1_S: Form = (softplus, s)
MINUS_T: Form = (lambda t: -t, lambda t: -1.0)
TO_ONE: Form = (lambda t: (t - 1) ** 2 / 2, lambda t: t - 1)
FORMS: dict[Pointwise, tuple[Form, Form, Form]] = {  # of real, of fake, of the generator
    Hinge(): (
        (lambda t: max(0.0, 1 - t), lambda t: -float(t < 1)),
        (lambda t: max(0.0, 1 + t), lambda t: float(t > -1)),
        MINUS_T,
    ),
    LeastSquares(): (TO_ONE, (lambda t: t**2 / 2, lambda t: t), TO_ONE),
    NonSaturating(): (MINUS_LOG_S, MINUS_LOG_1_S, MINUS_LOG_S),
    Saturating(): (MINUS_LOG_S, MINUS_LOG_1_S, (lambda t: -softplus(t), lambda t: -s(t))),
    Wasserstein(): (MINUS_T, (lambda t: t, lambda t: 1.0), MINUS_T),
}


@pytest.mark.parametrize("loss", FORMS, ids=lambda loss: type(loss).__name__)
def test_losses_and_slopes(loss: Pointwise) -> None:
    functions = (loss.real_loss, loss.fake_loss, loss.generator_loss)
    for function, (value, slope) in zip(functions, FORMS[loss], strict=True):
        logits = torch.tensor(LOGITS, dtype=torch.double, requires_grad=True)
        losses = function(logits)
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert losses.tolist() == pytest.approx(list(map(value, LOGITS)), rel=1e-12, abs=0)
        assert gradient.tolist() == pytest.approx(list(map(slope, LOGITS)), rel=1e-12, abs=0)
    real, fake = logits.flip(0)[:4], logits  # means, of numbers that may differ
    both = loss.real_loss(real).mean() + loss.fake_loss(fake).mean()
    assert loss.discriminator(real, fake) == both
    assert loss.generator(fake) == loss.generator_loss(fake).mean()


@pytest.mark.parametrize(("of_data", "of_generator"), [(0.3, 0.3), (0.9, 0.1), (0.2, 0.6)])
def test_least_squares_find_the_chance_of_being_real(of_data: float, of_generator: float) -> None:
    """Mao et al. 2017, Eq. 5: D* = p_data / (p_data + p_g) where a = 0, b = 1."""
    best = torch.tensor(of_data / (of_data + of_generator), dtype=torch.double, requires_grad=True)
    loss = of_data * LeastSquares().real_loss(best) + of_generator * LeastSquares().fake_loss(best)
    assert torch.autograd.grad(loss, best)[0].item() == pytest.approx(0, abs=1e-15)


def test_wasserstein_is_the_distance_under_the_steepest_critic_of_slope_one() -> None:
    """Two clouds a shift of 5 apart are 5 apart in earth mover's distance; D(x) = x attains it."""
    cloud = torch.tensor([0.0, 1.0, 4.0])
    assert -Wasserstein().discriminator(cloud + 5, cloud).item() == 5
