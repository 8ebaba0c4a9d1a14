from __future__ import annotations

import math

import pytest
import torch

from ganstoch.objectives import NonSaturating, Saturating
from ganstoch.rng import normal, rng_for

LOSS = Saturating()


def logits(draw: int) -> torch.Tensor:
    return normal((50,), rng_for(0, "data", draw)).double().mul_(3.0)


def test_is_the_logarithm_of_the_logistic_function() -> None:
    real, fake = logits(0), logits(1)
    s = torch.sigmoid
    expected = -s(real).log().mean() - (1 - s(fake)).log().mean()
    assert LOSS.discriminator(real, fake).item() == pytest.approx(expected.item(), rel=1e-12)
    expected = (1 - s(fake)).log().mean()
    assert LOSS.generator(fake).item() == pytest.approx(expected.item(), rel=1e-12)


def test_only_the_generator_differs_from_the_non_saturating_game() -> None:
    real, fake, other = logits(0), logits(1), NonSaturating()
    assert torch.equal(LOSS.discriminator(real, fake), other.discriminator(real, fake))
    assert not torch.isclose(LOSS.generator(fake), other.generator(fake))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("t", [-100.0, -30.0, -5.0, 0.0, 5.0, 30.0, 100.0])
def test_its_gradient_vanishes_as_its_formula_does_and_not_before(
    t: float, dtype: torch.dtype
) -> None:
    fake = torch.full((4,), t, dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(LOSS.generator(fake), fake)
    s = 1 / (1 + math.exp(-t))
    accuracy, slack = (1e-12, 0.0) if dtype == torch.float64 else (1e-5, 1e-37)
    assert gradient.tolist() == pytest.approx([-s / 4] * 4, rel=accuracy, abs=slack)
    if t == -30:
        assert (gradient != 0).all()
