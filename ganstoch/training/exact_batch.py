"""Any logical batch in the memory of a smaller one, with the same gradient.

No layer of the paper's networks couples the images of a batch, and every objective is a mean, so
the gradient of a batch is the weighted sum of the gradients of its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.types import Batch, to_signed

__all__ = ["Part", "split"]


@dataclass(frozen=True, slots=True)
class Part:
    """A micro-batch.

    Attributes:
        pixels: uint8 images, shape (M, C, H, W); made floats only when the part's turn comes.
        latents: shape (M, latent_dim), in the precision of the networks.
        weight: what the part's mean losses count in the whole batch's.
    """

    pixels: Tensor
    latents: Tensor
    weight: float

    @property
    def real(self) -> Tensor:
        """The images in [-1, 1], in the precision of the latents."""
        return to_signed(self.pixels, dtype=self.latents.dtype)


def split(
    batch: Batch, latents: Tensor, *, micro_batch: int | None, dtype: torch.dtype, world: int = 1
) -> list[Part]:
    """The batch in micro-batches, the last one possibly smaller.

    The weights of all parts of all ranks add up to ``world``, because gradients are averaged over
    ranks: so unequal shares come out right too.

    Args:
        batch: this rank's share of the real images.
        latents: this rank's share of the latents, one for each real image.
        micro_batch: most images at once; None for all of them.
        dtype: precision of the networks.
        world: number of ranks that share the batch.
    """
    size = micro_batch or len(batch.pixels)
    return [
        Part(pixels=pixels, latents=z.to(dtype), weight=len(z) * world / batch.size)
        for pixels, z in zip(
            torch.split(batch.pixels, size), torch.split(latents, size), strict=True
        )
    ]
