"""What an objective is: two losses that are functions of the discriminator's logits."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Objective(ABC):
    """The losses of both players, each a mean over its batch, minimized."""

    needs_full_batch: ClassVar[bool] = False  # an image's loss depends on others of its batch
    needs_real: ClassVar[bool] = False  # the generator's loss needs the logits of real images too

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a scalar, from the logits (N,) of real and generated images."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss, a scalar, from logits (N,); real ones where it ``needs_real``."""


class Pointwise(Objective):
    """An objective that judges each image by itself: three functions of one logit."""

    @abstractmethod
    def real_loss(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for each logit (N,) of a real image."""

    @abstractmethod
    def fake_loss(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for each logit (N,) of a generated image."""

    @abstractmethod
    def generator_loss(self, logits: Tensor) -> Tensor:
        """The generator's loss for each logit (N,) of its images."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) each."""
        return self.real_loss(real).mean() + self.fake_loss(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar loss from logits of shape (N,)."""
        return self.generator_loss(fake).mean()

    def soft(
        self, real: Tensor, fake: Tensor, *, real_targets: Tensor, fake_targets: Tensor
    ) -> Tensor:
        """The discriminator's loss, a scalar, under soft, noisy or flipped labels (N,), plain 1, 0.

        A logit of label t costs t real_loss + (1 - t) fake_loss: the cross-entropy with target t
        for the logistic losses, (logit - t)^2 / 2 up to a constant for least squares.
        """
        return self._soft(real, real_targets) + self._soft(fake, fake_targets)

    def _soft(self, logits: Tensor, targets: Tensor) -> Tensor:
        assert targets.shape == logits.shape  # broadcasting would mix the images
        return (targets * self.real_loss(logits) + (1 - targets) * self.fake_loss(logits)).mean()
