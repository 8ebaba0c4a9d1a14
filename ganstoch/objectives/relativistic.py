"""The relativistic loss (RSGAN)."""

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from ganstoch.objectives.base import Objective


class Relativistic(Objective):
    """D minimizes -log s(D(x) - D(G(z))), G minimizes -log s(D(G(z)) - D(x)).

    s is the logistic function. Real and generated images are paired by position.
    RSGAN of Jolicoeur-Martineau 2018, "The relativistic discriminator", Sec. 4.
    """

    needs_real: ClassVar[bool] = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) each."""
        assert real.shape == fake.shape  # broadcasting would pair one image with all
        return softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar loss from logits of shape (N,) each: the discriminator's, with roles exchanged."""
        assert real is not None
        return self.discriminator(fake, real)
