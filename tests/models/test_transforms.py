"""What remedies do to networks: functional calls, gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

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


def start(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    network = make()
    initialize(network, std=0.3, rng=rng_for(seed, "init"))
    return network.double()


def examples(network: nn.Module, draw: int = 0) -> Tensor:
    """Five latents for a generator, five points or images for a discriminator."""
    if isinstance(network, Generator):
        shape: tuple[int, ...] = (network.latent_dim,)
    else:
        shape = POINTS if isinstance(network, MaxoutDiscriminator | TanhDiscriminator) else IMAGES
    return normal((5, *shape), rng_for(0, "data", draw)).double()


def answer(network: nn.Module, state: dict[str, Tensor], x: Tensor) -> Tensor:
    said = functional_call(network, state, (x,))
    return said if isinstance(network, Generator) else said.logits


def total(parameters: dict[str, Tensor], network: nn.Module, x: Tensor) -> Tensor:
    return (answer(network, parameters, x) ** 2).mean()


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
def test_gradient_of_a_functional_call(make: Callable[[], nn.Module]) -> None:
    network = start(make)
    x = examples(network)
    parameters = dict(network.named_parameters())
    out = network(x) if isinstance(network, Generator) else network(x).logits
    expected = torch.autograd.grad((out**2).mean(), list(parameters.values()))
    values = {name: p.detach() for name, p in parameters.items()}
    found = grad(total)(values, network, x)
    for name, slope in zip(parameters, expected, strict=True):
        assert torch.allclose(found[name], slope, atol=1e-12), name
        assert slope.abs().sum() > 0 or name.endswith("bias"), name


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
    slopes = torch.autograd.grad(penalty(create_graph=True), weights, allow_unused=True)
    known = [(p, s) for p, s in zip(weights, slopes, strict=True) if s is not None]
    size = torch.cat([s.flatten() for _, s in known]).norm()
    assert size > 0
    step = 1e-6
    values = []
    for sign in (1, -1):
        for p, s in known:
            p.data.add_(s / size, alpha=sign * step)
        values.append(penalty(create_graph=False).item())
        for p, s in known:
            p.data.add_(s / size, alpha=-sign * step)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(size.item(), rel=1e-4)
