"""The gradient penalty R2 [1], R1's counterpart at generated examples.

[1] Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", Sec. 4.1:
gamma / 2 E || grad D(G(z)) ||^2. With R1 and paired relativistic losses it is the recipe of
Huang et al. 2024, "The GAN is dead; long live the GAN!", Sec. 2: R3GAN.
"""

import math

from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass, RemedySpec, pack_examples
from ganstoch.remedies.input_gradients import GradientPenalty, input_gradients


class R2(GradientPenalty):
    """A penalty on the squared gradient of the logits at generated examples; of packs, at packs.

    Args:
        gamma: 0 or more; 0 is the plain GAN.
    """

    def __init__(self, *, gamma: float = 10.0) -> None:
        super().__init__()
        self._require(0.0 <= gamma < math.inf, "gamma", gamma, "0 or more")
        self.gamma = gamma
        self.spec = RemedySpec(is_noop=self.gamma == 0.0)

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The loss and the penalty, a scalar."""
        gradients = input_gradients(scores.critic, pack_examples(scores.fakes, scores.pack))
        return loss + self.gamma / 2.0 * gradients.square().sum(1).mean()
