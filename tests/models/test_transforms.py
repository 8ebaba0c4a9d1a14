"""What remedies do to networks: functional calls, gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ganstoch.models import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Generator,
    MaxoutDiscriminator,
    ReLUGenerator,
    TanhDiscriminator,
    TanhGenerator,
    UnrolledDiscriminator,
    UnrolledGenerator,
)
from ganstoch.models.layers import initialize
from ganstoch.rng import normal, rng_for

POINTS, IMAGES = (2,), (3, 28, 28)
DISCRIMINATORS: list[Callable[[], Discriminator]] = [
    partial(MaxoutDiscriminator, POINTS, width=6, pieces=3),
    partial(TanhDiscriminator, POINTS, width=6),
    partial(DCGANDiscriminator, IMAGES, width=2),
    partial(UnrolledDiscriminator, IMAGES, width=4),
]
GENERATORS: list[Callable[[], Generator]] = [
    partial(ReLUGenerator, POINTS, latent_dim=3, width=6),
    partial(TanhGenerator, POINTS, latent_dim=3, width=6),
    partial(DCGANGenerator, IMAGES, latent_dim=3, width=2),
    partial(UnrolledGenerator, IMAGES, latent_dim=3, width=8),
]


def start(make: Callable[[], nn.Module]) -> nn.Module:
    network = make()
    initialize(network, std=0.3, rng=rng_for(0, "init"))
    return network.double()


def examples(network: nn.Module) -> Tensor:
    """Five latents for a generator, five points or images for a discriminator."""
    if isinstance(network, Generator):
        shape: tuple[int, ...] = (network.latent_dim,)
    else:
        shape = POINTS if isinstance(network, MaxoutDiscriminator | TanhDiscriminator) else IMAGES
    return normal((5, *shape), rng_for(0, "data")).double()


@pytest.mark.parametrize("make", DISCRIMINATORS)
def test_gradient_penalty_has_a_gradient(make: Callable[[], Discriminator]) -> None:
    """Against finite differences, along the gradient itself."""
    network = start(make)
    x = examples(network)

    def penalty(*, create_graph: bool) -> Tensor:
        inputs = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(
            network(inputs).logits.sum(), inputs, create_graph=create_graph
        )
        return slope.flatten(1).norm(dim=1).square().mean()

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
