"""The exponential moving average of the generator, which is what gets evaluated.

Yazici et al. 2019, "The Unusual Effectiveness of Averaging in GAN Training".
"""

import copy
from typing import Self

import torch
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.models import Generator


class EMA(nn.Module):
    """A generator whose weights follow another's; part of the GAN, and so of its checkpoints.

    After iteration t the weight of the past is min(decay, t / (t + 10)), for running statistics
    too; counters are copied. The average is never in training mode, so that making images with it
    uses those statistics and does not move them.
    """

    def __init__(self, generator: Generator, *, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise UserError(f"model.ema_decay must be in [0, 1), got {decay}")
        super().__init__()
        self.decay = decay
        self.generator = copy.deepcopy(generator).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Sets this module's own mode; the averaged generator stays out of training mode."""
        super().train(mode)
        self.generator.eval()
        return self

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to (N, *shape), by the averaged weights."""
        images: Tensor = self.generator(latents)
        return images

    @torch.no_grad()
    def update(self, generator: Generator, *, iteration: int) -> None:
        """One step towards the live weights, after iteration ``iteration`` (counted from 0)."""
        past = min(self.decay, iteration / (iteration + 10))
        states = (
            [*network.parameters(), *network.buffers()] for network in (self.generator, generator)
        )
        pairs = list(zip(*states, strict=True))
        moving = [(ours, live) for ours, live in pairs if ours.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in moving], [b for _, b in moving], weight=1 - past)
        for ours, live in pairs:
            if not ours.is_floating_point():
                ours.copy_(live)
