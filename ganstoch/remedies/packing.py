"""Packing: the discriminator judges several examples together [1].

[1] Lin et al. 2018, "PacGAN: The power of two samples in generative adversarial networks", Sec. 2.

One logit says whether a whole pack is real. A generator that has lost modes shows in every pack, as
examples that are too alike, however good each of them is.
"""

from __future__ import annotations

import logging
from typing import Literal

from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.models.base import Discriminator, DiscriminatorFactory
from ganstoch.remedies.base import DataFacts, Remedy
from ganstoch.types import Shape

__all__ = ["Packing"]

_log = logging.getLogger("ganstoch")


class Packing(Remedy):
    """Packs of neighbours in the batch, concatenated along the channels.

    A batch that is no multiple of the size is completed by its first examples, which then count
    twice. Neighbours are what the sampling of images and latents makes them: where every image
    comes once and in order (m = n), the packs are the same in every iteration, and packing adds no
    chance. A network of the same kind gets wider inputs; nothing else of it changes.

    Args:
        size: examples in a pack, 1 or more; 1 is the plain game.
        matched: what an update has as many of as in the plain game. "images" has m images, hence
            m / size packs and the same work. "packs" is the authors' own way: m packs, hence
            size times m images and latents, and more work.

    Raises:
        UserError: for a size below 1.
    """

    def __init__(self, *, size: int = 2, matched: Literal["images", "packs"] = "images") -> None:
        super().__init__()
        if size < 1:
            raise UserError(f"model.remedies: size of Packing must be 1 or more, got {size}")
        self.size = size
        self.matched = matched

    @property
    def neutral(self) -> bool:
        """Packs of one."""
        return self.size == 1

    @property
    def pack(self) -> int:
        """Examples that the discriminator judges together."""
        return self.size

    @property
    def images_factor(self) -> int:
        """How many times m examples an update draws."""
        return self.size if self.matched == "packs" else 1

    def check_data(self, facts: DataFacts) -> None:
        """Refuses a bank of latents that m packs would exhaust.

        Raises:
            UserError: naming a bank that is large enough.
        """
        if facts.m * self.images_factor < self.size:
            _log.warning(
                "data.m = %d is less than a pack of %d: a pack holds one image several times, and "
                "tells nothing of variety",
                facts.m,
                self.size,
            )
        wanted, bank = self.images_factor * facts.m, facts.latents.count
        if bank is not None and wanted > bank:
            raise UserError(
                f"Packing of {self.size} with matched packs draws {wanted} latents for an update "
                f"from a bank of {bank}; set model.latents.bank to {self.size}n or fresh, or "
                "matched to images"
            )

    def wrap_discriminator(self, make: DiscriminatorFactory) -> DiscriminatorFactory:
        """A discriminator of packs: as many times the channels, or coordinates."""

        def made(shape: Shape) -> Discriminator:
            return make((self.size * shape[0], *shape[1:]))

        return made

    def critic_input(self, examples: Tensor) -> Tensor:
        """Examples (N, C, ...) as packs (N / size, size * C, ...); a view where it can be one."""
        channels, *rest = examples.shape[1:]
        assert len(examples) % self.size == 0, (len(examples), self.size)
        packs = len(examples) // self.size
        return examples.reshape(packs, self.size * channels, *rest)
