"""Feature matching: the generator matches the real examples' mean features [1].

[1] Salimans et al. 2016, "Improved Techniques for Training GANs", Sec. 3.1:
|| E f(x) - E f(G(z)) ||_2^2, f being what an intermediate layer of the discriminator makes; here
the last one before its head. The expectations are means over the batch.
"""

from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass, Remedy, RemedySpec


class FeatureMatching(Remedy):
    """The generator's loss is (1 - share) times the objective's, plus share times the distance.

    Args:
        share: in [0, 1]; 0 is the plain GAN, 1 the paper's, without the objective's loss.
    """

    def __init__(self, *, share: float = 1.0) -> None:
        super().__init__()
        self._require(0.0 <= share <= 1.0, "share", share, "in [0, 1]")
        self.share = share
        # It takes a share of the objective's loss, so it comes before what adds to that.
        self.spec = RemedySpec(
            is_noop=self.share == 0.0, needs_full_batch=True, needs_real=True, priority=1
        )

    def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The generator's loss with the squared distance of the means, a scalar."""
        assert scores.of_real is not None
        gap = scores.of_real.features.mean(0) - scores.of_fake.features.mean(0)
        distance = gap.square().sum()
        if self.share == 1.0:  # 0 times a loss that is infinite would not be 0
            return distance
        return (1.0 - self.share) * loss + self.share * distance
