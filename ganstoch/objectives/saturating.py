"""The minimax loss of the original GAN, whose generator's gradient vanishes."""

from torch import Tensor
from torch.nn.functional import softplus

from ganstoch.objectives.base import Pointwise


class Saturating(Pointwise):
    """D minimizes -log s(D(x)) - log(1 - s(D(G(z)))), G minimizes log(1 - s(D(G(z)))).

    s is the logistic function. The generator's gradient at logit t is -s(t), which dies like exp(t)
    for fakes that the discriminator is sure of: the loss's own flaw, not one of its arithmetic.
    Goodfellow et al. 2014, Eq. 1.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        """-log s(logit), shape (N,)."""
        return softplus(-logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        """-log(1 - s(logit)), shape (N,)."""
        return softplus(logits)

    def generator_loss(self, logits: Tensor) -> Tensor:
        """The fake's loss log(1 - s(logit)) with the other sign, shape (N,)."""
        return -softplus(logits)
