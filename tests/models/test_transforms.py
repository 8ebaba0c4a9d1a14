"""What gradient penalties do to networks: gradients of gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.models import (
    DCGANDiscriminator,
    Discriminator,
    MaxoutDiscriminator,
    TanhDiscriminator,
    UnrolledDiscriminator,
)
from ganstoch.models.layers import initialize
from ganstoch.rng import normal, rng_for

DISCRIMINATORS = [
    (partial(MaxoutDiscriminator, width=6, pieces=3), (2,)),
    (partial(TanhDiscriminator, width=6), (2,)),
    (partial(DCGANDiscriminator, width=2), (3, 28, 28)),
    (partial(UnrolledDiscriminator, width=4), (3, 28, 28)),
]


@pytest.mark.parametrize(("make", "shape"), DISCRIMINATORS)
def test_gradient_penalty_has_a_gradient(make: Any, shape: tuple[int, ...]) -> None:
    """Against finite differences, along the gradient itself."""
    network: Discriminator = make(shape)
    initialize(network, std=0.3, rng=rng_for(0, "init"))
    network.double()
    x = normal((5, *shape), rng_for(0, "data")).double()

    def penalty(*, create_graph: bool) -> Tensor:
        inputs = x.clone().requires_grad_()
        logits = network(inputs).logits
        (slope,) = torch.autograd.grad(logits.sum(), inputs, create_graph=create_graph)
        return slope.flatten(1).square().sum(1).mean()

    weights = [p for p in network.parameters() if p.dim() > 1]
    slopes = torch.autograd.grad(penalty(create_graph=True), weights)
    size = torch.cat([s.flatten() for s in slopes]).norm()
    step, values = 1e-6, []
    for move in (step, -2 * step):  # ahead, then as far back
        for p, s in zip(weights, slopes, strict=True):
            p.data.add_(s / size, alpha=move)
        values.append(penalty(create_graph=False).item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(size.item(), rel=1e-4)
    assert size > 0
