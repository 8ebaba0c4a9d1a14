"""What an objective is: two losses that are functions of the discriminator's logits."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

__all__ = ["Objective"]


class Objective(ABC):
    """The losses of both players, each a mean over its batch, minimised.

    A mean, so that a batch may be taken in parts: the parts' means, weighted by their sizes, add
    up to the whole.
    """

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a scalar.

        Args:
            real: logits of real images, shape (N,).
            fake: logits of generated images, shape (N,).
        """

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss, a scalar, from the logits of its images, shape (N,)."""
