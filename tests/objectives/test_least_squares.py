from __future__ import annotations

import pytest
import torch

from ganstoch.objectives import LeastSquares

LOSS = LeastSquares()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("t", [-100.0, -30.0, -0.5, 0.0, 0.25, 1.0, 30.0, 100.0])
def test_values_and_gradients(t: float, dtype: torch.dtype) -> None:
    logits = torch.full((2,), t, dtype=dtype, requires_grad=True)
    expected = {
        LOSS.real_loss: ((t - 1) ** 2 / 2, t - 1),
        LOSS.fake_loss: (t**2 / 2, t),
        LOSS.generator_loss: ((t - 1) ** 2 / 2, t - 1),
    }
    for function, (value, slope) in expected.items():
        losses = function(logits)
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert losses.tolist() == [value] * 2
        assert gradient.tolist() == [slope] * 2


@pytest.mark.parametrize(("of_data", "of_generator"), [(0.3, 0.3), (0.9, 0.1), (0.2, 0.6)])
def test_the_best_logit_is_the_chance_that_the_image_is_real(
    of_data: float, of_generator: float
) -> None:
    """Mao et al. 2017, Eq. 5: D* = p_data / (p_data + p_g) where a = 0, b = 1."""
    best = torch.tensor(of_data / (of_data + of_generator), requires_grad=True)
    loss = of_data * LOSS.real_loss(best) + of_generator * LOSS.fake_loss(best)
    (slope,) = torch.autograd.grad(loss, best)
    assert slope.item() == pytest.approx(0, abs=1e-7)
