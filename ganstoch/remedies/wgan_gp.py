"""The gradient penalty of WGAN-GP [1].

[1] Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", Eq. 3 and Alg. 1:
weight E (|| grad D(x_hat) ||_2 - 1)^2, x_hat = eps x + (1 - eps) G(z), eps uniform on [0, 1).
"""

import math

from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass, RemedySpec, pack_examples
from ganstoch.remedies.input_gradients import GradientPenalty, input_gradients


class WGANGP(GradientPenalty):
    """A penalty on how far the gradient norm between real and generated examples is from 1.

    One norm and one eps for each input of the critic, be it an example or a pack.

    Args:
        weight: lambda, 0 or more; 10 in the paper, 0 is the plain GAN.
    """

    def __init__(self, *, weight: float = 10.0) -> None:
        super().__init__()
        self._require(0.0 <= weight < math.inf, "weight", weight, "0 or more")
        self.weight = weight
        self.spec = RemedySpec(is_noop=self.weight == 0.0, stochastic=True)

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The loss and the penalty, a scalar."""
        assert scores.real is not None
        real = pack_examples(scores.real, scores.pack)
        fakes = pack_examples(scores.fakes, scores.pack)
        drawn = scores.info.uniform("wgan_gp", scores.batch, every=scores.pack)
        eps = drawn.view(-1, *[1] * (real.dim() - 1))
        between = eps * real + (1.0 - eps) * fakes
        squares = input_gradients(scores.critic, between).square().sum(1)
        # The root has no derivative at 0, where a critic is flat; 0 is taken for it.
        flat = squares == 0.0
        norms = squares.masked_fill(flat, 1.0).sqrt().masked_fill(flat, 0.0)
        return loss + self.weight * (norms - 1.0).square().mean()
