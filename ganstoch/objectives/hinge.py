"""The hinge loss."""

from torch import Tensor, relu

from ganstoch.objectives.base import Pointwise


class Hinge(Pointwise):
    """D minimizes max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G minimizes -D(G(z)).

    Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, Sec. 4 (with spectral normalization).
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        """max(0, 1 - logit), shape (N,)."""
        return relu(1 - logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        """max(0, 1 + logit), shape (N,)."""
        return relu(1 + logits)

    def generator_loss(self, logits: Tensor) -> Tensor:
        """-logit, shape (N,)."""
        return -logits
