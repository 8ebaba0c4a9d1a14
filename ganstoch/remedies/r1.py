"""The gradient penalty R1 [1].

[1] Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", Eq. 9:
gamma / 2 E || grad D(x) ||^2 on real examples x only.
"""

from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass
from ganstoch.remedies.input_gradients import ZeroCenteredPenalty


class R1(ZeroCenteredPenalty):
    """The penalty at real examples; ``gamma`` as there."""

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The loss and the penalty, a scalar."""
        assert scores.real is not None
        return loss + self.penalty(scores.critic, scores.real, pack=scores.pack)
