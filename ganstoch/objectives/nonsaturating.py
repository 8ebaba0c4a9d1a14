"""The non-saturating loss of the original GAN, which the paper uses throughout."""

from torch import Tensor
from torch.nn.functional import softplus

from ganstoch.objectives.base import Pointwise


class NonSaturating(Pointwise):
    """D minimizes -log s(D(x)) - log(1 - s(D(G(z)))), G minimizes -log s(D(G(z))).

    s is the logistic function; -log s(t) is softplus(-t), whose gradient is exact at any logit.
    Goodfellow et al. 2014, Sec. 3; [1] Yazici et al. 2020, Sec. 4.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        """-log s(logit), shape (N,)."""
        return softplus(-logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        """-log(1 - s(logit)), shape (N,)."""
        return softplus(logits)

    def generator_loss(self, logits: Tensor) -> Tensor:
        """-log s(logit), shape (N,)."""
        return softplus(-logits)
