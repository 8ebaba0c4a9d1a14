"""The least-squares loss (LSGAN)."""

from torch import Tensor

from ganstoch.objectives.base import Pointwise


class LeastSquares(Pointwise):
    """D minimizes (D(x) - 1)^2 / 2 + D(G(z))^2 / 2, G minimizes (D(G(z)) - 1)^2 / 2.

    Mao et al. 2017, Eq. 9 (a = 0, b = c = 1), whose factor 1/2 many programs drop.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        """(logit - 1)^2 / 2, shape (N,)."""
        return (logits - 1).square() / 2

    def fake_loss(self, logits: Tensor) -> Tensor:
        """logit^2 / 2, shape (N,)."""
        return logits.square() / 2

    def generator_loss(self, logits: Tensor) -> Tensor:
        """(logit - 1)^2 / 2, shape (N,)."""
        return (logits - 1).square() / 2
