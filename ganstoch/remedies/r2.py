"""The gradient penalty R2 [1], R1's counterpart at generated examples.

[1] Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", Sec. 4.1:
gamma / 2 E || grad D(G(z)) ||^2. With R1 and paired relativistic losses it is the recipe of
Huang et al. 2024, "The GAN is dead; long live the GAN!", Sec. 2: R3GAN.
"""

from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass
from ganstoch.remedies.input_gradients import ZeroCenteredPenalty


class R2(ZeroCenteredPenalty):
    """The penalty at generated examples; ``gamma`` as there."""

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The loss and the penalty, a scalar."""
        return loss + self.penalty(scores.critic, scores.fakes, pack=scores.pack)
