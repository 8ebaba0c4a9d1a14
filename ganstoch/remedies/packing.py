"""Packing: the discriminator scores several examples together [1].

[1] Lin et al. 2018, "PacGAN: The power of two samples in generative adversarial networks", Sec. 2.
"""

import logging
from typing import Literal

from ganstoch.models.layers import Discriminator, DiscriminatorFactory, GeneratorFactory
from ganstoch.remedies.base import DataFacts, Remedy, RemedySpec
from ganstoch.types import Shape

_log = logging.getLogger("ganstoch")


class Packing(Remedy):
    """Packs of neighbours in the batch, concatenated along the channels.

    A batch that is no multiple of the size is completed by its first examples, which then count
    twice. Where m = n, the packs are the same in every iteration.

    Args:
        size: examples in a pack, 1 or more; 1 is the plain GAN.
        matched: what an update has as many of as in the plain GAN: "images", hence m / size packs,
            or "packs", the authors' own way, hence size times m images and latents.
    """

    def __init__(self, *, size: int = 2, matched: Literal["images", "packs"] = "images") -> None:
        super().__init__()
        self._require(size >= 1, "size", size, "1 or more")
        self.size = size
        factor = size if matched == "packs" else 1
        self.spec = RemedySpec(
            is_noop=size == 1, pack=size, images_factor=factor, mixes_latents=True
        )

    def setup(self, facts: DataFacts) -> None:
        """Warns of batches smaller than a pack."""
        if facts.m * self.spec.images_factor < self.size:
            _log.warning(
                "data.m = %d is less than a pack of %d: a pack holds one image several times, and "
                "tells nothing of variety",
                facts.m,
                self.size,
            )

    def wrap_networks(
        self, generator: GeneratorFactory, discriminator: DiscriminatorFactory
    ) -> tuple[GeneratorFactory, DiscriminatorFactory]:
        """A discriminator of packs: as many times the channels, or coordinates."""

        def of_packs(shape: Shape) -> Discriminator:
            return discriminator((self.size * shape[0], *shape[1:]))

        return generator, of_packs
