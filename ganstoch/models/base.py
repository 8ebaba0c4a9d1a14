"""What the game asks of its two networks, and nothing about which networks they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganstoch.models.blocks import SpectralConv2d
from ganstoch.types import Critique, ImageShape

__all__ = [
    "Discriminator",
    "DiscriminatorFactory",
    "Generator",
    "GeneratorFactory",
    "initialise",
]


class Generator(nn.Module, ABC):
    """Maps latents to images.

    Attributes:
        latent_dim: length of a latent vector.
    """

    latent_dim: int

    @abstractmethod
    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to images (N, C, H, W) in [-1, 1]."""


class Discriminator(nn.Module, ABC):
    """Scores images; every layer with weights is spectrally normalised [1, Sec. 4]."""

    @abstractmethod
    def forward(self, images: Tensor) -> Critique:
        """Images (N, C, H, W) in [-1, 1] to a critique of each."""

    def power_iterate(self) -> None:
        """Refines the estimate of every layer's spectral norm by one step.

        Called once per optimiser update by the game, and not by the forward pass, so that the
        number of forward passes (micro-batches, real and fake apart or together) changes nothing.
        """
        for module in self.modules():
            if isinstance(module, SpectralConv2d):
                module.power_iterate()


GeneratorFactory = Callable[[ImageShape], Generator]
DiscriminatorFactory = Callable[[ImageShape], Discriminator]


@torch.no_grad()
def initialise(module: nn.Module, *, std: float, rng: torch.Generator) -> None:
    """Draws every weight from N(0, std^2) and sets every bias to 0.

    The paper does not name its initialisation; this is the one of the same first author's earlier
    code. Drawn in the order of registration from one generator, so that it depends on the
    seed alone, whatever was constructed before.

    Args:
        module: network whose parameters are overwritten in place.
        std: standard deviation of the weights.
        rng: CPU generator of the stream "init".
    """
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        else:
            draw = torch.randn(parameter.shape, generator=rng, dtype=torch.float32)
            parameter.copy_(draw.mul_(std))
    for layer in module.modules():
        if isinstance(layer, SpectralConv2d):
            layer.restart(rng)
