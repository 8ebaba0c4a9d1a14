"""Base classes of generators and discriminators, and how their weights start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from ganstoch.models.layers import BatchNorm, SpectralConv2d
from ganstoch.types import DiscriminatorOutput, Shape

__all__ = [
    "Discriminator",
    "DiscriminatorFactory",
    "Generator",
    "GeneratorFactory",
    "frozen",
    "initialize",
    "needs_full_batch",
]


class Generator(nn.Module, ABC):
    """Maps latents to images or points.

    Attributes:
        latent_dim: length of a latent vector.
        gain: of the orthogonal start that `initialize` gives its weights; None for a normal one.
    """

    gain: ClassVar[float | None] = None
    latent_dim: int

    @abstractmethod
    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to (N, *shape): images in [-1, 1], or points, unbounded."""

    def assigned(self, latents: Tensor, kind: str) -> Tensor | None:
        """What latents (N, latent_dim) choose of a kind, such as "class": int64, shape (N,).

        None where they choose nothing of that kind. A generator around others asks those.
        """
        return None


class Discriminator(nn.Module):
    """Scores images or points: a body makes features, a head maps them to (N, 1).

    Attributes:
        body: (N, *shape) to features, (N, head_features) or maps of as many numbers.
        head: the last layer, from the body's features to one logit each.
        head_features: length F of the flattened features.
        heads: further heads on the flattened features (N, F), by name; remedies add them.
        separate_passes: whether it must see real and generated examples in separate calls; None
            where that follows from its layers, see `needs_full_batch`.
        gain: of the orthogonal start that `initialize` gives its weights; None for a normal one.
    """

    gain: ClassVar[float | None] = None
    separate_passes: bool | None = None
    body: nn.Module
    head: nn.Module
    head_features: int

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict()

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        """(N, *shape) to logits (N,), features (N, head_features), and what further heads make."""
        features = self.body(images)
        flat = features.flatten(1)
        others = {name: head(flat) for name, head in self.heads.items()}
        return DiscriminatorOutput(self.head(features).flatten(), flat, others)

    def power_iterate(self) -> None:
        """Refines the estimate of every spectral norm by one step, where layers have one.

        The training step calls it once an update. The forward pass does not, so the number of
        forward passes (micro-batches, real and fake apart or together) changes nothing.
        """
        for module in self.modules():
            if isinstance(module, SpectralConv2d):
                module.power_iterate()


GeneratorFactory = Callable[[Shape], Generator]
DiscriminatorFactory = Callable[[Shape], Discriminator]


def needs_full_batch(network: nn.Module) -> bool:
    """Whether a layer makes an image's result depend on the others of its batch.

    Such a network must see its batch whole, and real and generated images apart. A layer that
    does so has a true attribute ``needs_full_batch``, as `BatchNorm` has.
    """
    return any(getattr(layer, "needs_full_batch", False) for layer in network.modules())


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Computes no gradients of a module's parameters, which the other network's update discards."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


@torch.no_grad()
def initialize(module: nn.Module, *, std: float, rng: torch.Generator) -> None:
    """Draws every weight from N(0, std^2) and sets every bias to 0.

    The paper names no initialization; this one is from the same first author's earlier code. The
    draws follow the order of registration, so the weights depend on the seed alone. Batch
    normalization starts as the identity, and a network with a ``gain`` has orthogonal matrices
    times that gain [1].

    [1] Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks".

    Args:
        module: network whose parameters are overwritten in place.
        std: standard deviation of the weights.
        rng: CPU generator of the stream "init".
    """
    gains: dict[nn.Module, float | None] = {}
    added: set[nn.Module] = set()
    for network in module.modules():  # an inner network's gain overrides that of the outer
        if isinstance(network, Generator | Discriminator):
            gains |= dict.fromkeys(network.modules(), network.gain)
        if isinstance(network, Discriminator):
            added |= set(network.heads.modules())
    # Further heads come last, so that one more changes nothing in what the network started from.
    for layer in sorted(module.modules(), key=lambda layer: layer in added):
        gain = gains.get(layer)
        for name, parameter in layer.named_parameters(recurse=False):
            if name.endswith("bias"):
                parameter.zero_()
            elif isinstance(layer, BatchNorm):
                parameter.fill_(1.0)
            else:
                parameter.copy_(_draw(parameter.shape, std=std, gain=gain, rng=rng))
    for layer in module.modules():
        if isinstance(layer, SpectralConv2d):
            layer.restart(rng)


def _draw(shape: torch.Size, *, std: float, gain: float | None, rng: torch.Generator) -> Tensor:
    if gain is None or len(shape) < 2:
        return torch.randn(shape, generator=rng, dtype=torch.float32).mul_(std)
    return nn.init.orthogonal_(torch.empty(shape, dtype=torch.float32), gain, generator=rng)
