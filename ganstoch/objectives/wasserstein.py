"""The Wasserstein loss (WGAN)."""

from torch import Tensor

from ganstoch.objectives.base import Pointwise


class Wasserstein(Pointwise):
    """D minimizes D(G(z)) - D(x), G minimizes -D(G(z)).

    Only D's architecture or a penalty bounds its Lipschitz constant: the loss alone has no minimum.
    Arjovsky et al. 2017, Eq. 2 and Algorithm 1.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        """-logit, shape (N,)."""
        return -logits

    def fake_loss(self, logits: Tensor) -> Tensor:
        """The logit, shape (N,)."""
        return logits

    def generator_loss(self, logits: Tensor) -> Tensor:
        """-logit, shape (N,)."""
        return -logits
