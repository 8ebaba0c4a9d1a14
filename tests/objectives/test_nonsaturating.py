from __future__ import annotations

import math

import pytest
import torch

from ganstoch.objectives import NonSaturating, Objective
from ganstoch.rng import normal, rng_for

LOSS = NonSaturating()


def logits(count: int, draw: int) -> torch.Tensor:
    return normal((count,), rng_for(0, "data", draw)).double().mul_(3.0)


def test_is_minus_the_log_of_the_logistic_function() -> None:
    real, fake = logits(50, 0), logits(50, 1)
    s = torch.sigmoid
    expected = -s(real).log().mean() - (1 - s(fake)).log().mean()
    assert LOSS.discriminator(real, fake).item() == pytest.approx(expected.item(), rel=1e-12)
    assert LOSS.generator(fake).item() == pytest.approx(-s(fake).log().mean().item(), rel=1e-12)
    assert isinstance(LOSS, Objective)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("t", [-100.0, -30.0, -5.0, 0.0, 5.0, 30.0, 100.0])
def test_gradients_are_exact_at_any_logit(t: float, dtype: torch.dtype) -> None:
    real = torch.full((4,), t, dtype=dtype, requires_grad=True)
    fake = torch.full((4,), t, dtype=dtype, requires_grad=True)
    up = 1 / (1 + math.exp(-t))  # the logistic function of t, and of -t without cancellation
    down = math.exp(-t) / (1 + math.exp(-t)) if t > 0 else 1 / (1 + math.exp(t))
    accuracy = 1e-12 if dtype == torch.float64 else 1e-5
    loss = LOSS.discriminator(real, fake)
    assert loss.isfinite()
    for_real, for_fake = torch.autograd.grad(loss, [real, fake])
    (for_generator,) = torch.autograd.grad(LOSS.generator(fake), [fake])
    # In single precision exp(-100) is a denormal number, and may be flushed.
    slack = 1e-37 if dtype == torch.float32 else 0.0
    assert for_real.tolist() == pytest.approx([-down / 4] * 4, rel=accuracy, abs=slack)
    assert for_fake.tolist() == pytest.approx([up / 4] * 4, rel=accuracy, abs=slack)
    assert for_generator.tolist() == pytest.approx([-down / 4] * 4, rel=accuracy, abs=slack)


@pytest.mark.parametrize("t", [-40.0, -1000.0, -1e30])
def test_the_worst_fakes_pull_the_generator_with_full_force(t: float) -> None:
    fake = torch.tensor([t, 50.0, 50.0, 50.0, 50.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(LOSS.generator(fake), [fake])
    assert gradient[0].item() == pytest.approx(-1 / 5, rel=1e-6)
    assert gradient[1:].abs().max() < 1e-20
