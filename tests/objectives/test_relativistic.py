from __future__ import annotations

import math

import pytest
import torch

from ganstoch.objectives import Relativistic
from ganstoch.rng import normal, rng_for

LOSS = Relativistic()


def logits(draw: int) -> torch.Tensor:
    return normal((20,), rng_for(0, "data", draw)).double().mul_(3.0).requires_grad_()


def s(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def test_is_the_logarithm_of_the_chance_that_the_real_one_of_a_pair_is_realer() -> None:
    real, fake = logits(0), logits(1)
    pairs = list(zip(real.tolist(), fake.tolist(), strict=True))
    expected = -sum(math.log(s(r - f)) for r, f in pairs) / 20
    assert LOSS.discriminator(real, fake).item() == pytest.approx(expected, rel=1e-12)
    expected = -sum(math.log(s(f - r)) for r, f in pairs) / 20
    assert LOSS.generator(fake, real).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("lead", [-100.0, -30.0, -5.0, 0.0, 5.0, 30.0, 100.0])
def test_gradients_are_exact_at_any_lead(lead: float, dtype: torch.dtype) -> None:
    real = torch.full((4,), lead + 2, dtype=dtype, requires_grad=True)
    fake = torch.full((4,), 2.0, dtype=dtype, requires_grad=True)
    for_real, for_fake = torch.autograd.grad(LOSS.discriminator(real, fake), [real, fake])
    g_real, g_fake = torch.autograd.grad(LOSS.generator(fake, real), [real, fake])
    accuracy, slack = (1e-12, 0.0) if dtype == torch.float64 else (1e-5, 1e-37)

    def is_all(gradient: torch.Tensor, expected: float) -> bool:
        return bool(gradient.tolist() == pytest.approx([expected] * 4, rel=accuracy, abs=slack))

    assert is_all(for_real, -s(-lead) / 4)
    assert is_all(for_fake, s(-lead) / 4)
    assert is_all(g_real, s(lead) / 4)
    assert is_all(g_fake, -s(lead) / 4)


@pytest.mark.parametrize("shift", [-40.0, 7.0])
def test_a_shift_of_all_logits_changes_nothing(shift: float) -> None:
    real, fake = logits(0), logits(1)
    for before, after in (
        (LOSS.discriminator(real, fake), LOSS.discriminator(real + shift, fake + shift)),
        (LOSS.generator(fake, real), LOSS.generator(fake + shift, real + shift)),
    ):
        assert after.item() == pytest.approx(before.item(), rel=1e-12)
        ours, theirs = (torch.autograd.grad(it, fake)[0] for it in (after, before))
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-12)
    lifted = LOSS.discriminator(real + shift, fake)
    assert lifted.item() != pytest.approx(LOSS.discriminator(real, fake).item(), rel=0.1)


def test_pairs_are_made_by_position_and_must_be_whole() -> None:
    real, fake = logits(0), logits(1)
    shuffled = LOSS.discriminator(real.roll(1), fake)
    assert shuffled.item() != pytest.approx(LOSS.discriminator(real, fake).item(), rel=1e-3)
    with pytest.raises(AssertionError):
        LOSS.discriminator(real, fake[:1])
