"""The gradient penalty R1 [1].

[1] Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", Eq. 9:
gamma / 2 E || grad D(x) ||^2 on real examples x only.
"""

import math

from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass, RemedySpec, pack_examples
from ganstoch.remedies.input_gradients import GradientPenalty, input_gradients


class R1(GradientPenalty):
    """A penalty on the squared gradient of the logits at real examples; of packs, at the packs.

    Args:
        gamma: 0 or more; 10 in the paper, 0 is the plain GAN.
    """

    def __init__(self, *, gamma: float = 10.0) -> None:
        super().__init__()
        self._require(0.0 <= gamma < math.inf, "gamma", gamma, "0 or more")
        self.gamma = gamma
        self.spec = RemedySpec(is_noop=self.gamma == 0.0)

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The loss and the penalty, a scalar."""
        assert scores.real is not None
        gradients = input_gradients(scores.critic, pack_examples(scores.real, scores.pack))
        return loss + self.gamma / 2.0 * gradients.square().sum(1).mean()
