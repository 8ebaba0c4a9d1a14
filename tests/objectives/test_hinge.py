from __future__ import annotations

import pytest
import torch

from ganstoch.objectives import Hinge

LOSS = Hinge()
LOGITS = [-100.0, -30.0, -1.5, -0.5, 0.0, 0.5, 1.5, 30.0, 100.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("t", LOGITS)
def test_values_and_gradients(t: float, dtype: torch.dtype) -> None:
    logits = torch.full((2,), t, dtype=dtype, requires_grad=True)
    # Its logit, its loss, its loss's slope: nothing beyond the margin, a straight line before.
    expected = {
        LOSS.real_loss: (max(0, 1 - t), -1 if t < 1 else 0),
        LOSS.fake_loss: (max(0, 1 + t), 1 if t > -1 else 0),
        LOSS.generator_loss: (-t, -1),
    }
    for function, (value, slope) in expected.items():
        losses = function(logits)
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert losses.tolist() == [value] * 2
        assert gradient.tolist() == [slope] * 2
