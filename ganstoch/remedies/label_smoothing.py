"""Label smoothing: soft labels for the discriminator."""

import math

from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass, Remedy, RemedySpec

Range = tuple[float, float]


class LabelSmoothing(Remedy):
    """Each example's label is drawn from a range, anew at every update of the discriminator.

    An example of label t gets t r + (1 - t) f, with r and f drawn from the two ranges, so that
    flipped labels are smoothed as what they have become. The ranges are those that practitioners
    give; Salimans et al. 2016, "Improved Techniques for Training GANs", Sec. 3.4, smooths real
    labels alone, to 0.9.

    Args:
        real: lowest and highest label of real examples; equal for a constant.
        fake: the same of generated ones.
    """

    def __init__(self, *, real: Range = (0.7, 1.2), fake: Range = (0.0, 0.3)) -> None:
        super().__init__()
        real, fake = (real[0], real[1]), (fake[0], fake[1])  # from a file they come as lists
        for name, (low, high) in (("real", real), ("fake", fake)):
            valid = -math.inf < low <= high < math.inf
            self._require(valid, name, [low, high], "[lowest, highest]")
        self.real, self.fake = real, fake
        is_noop = real == (1.0, 1.0) and fake == (0.0, 0.0)
        self.spec = RemedySpec(is_noop=is_noop, stochastic=True)

    def targets(
        self, real: Tensor, fake: Tensor, scores: DiscriminatorPass
    ) -> tuple[Tensor, Tensor]:
        """Soft labels, shape (logits,) each."""
        return self._soften(real, scores, "real"), self._soften(fake, scores, "fake")

    def _soften(self, labels: Tensor, scores: DiscriminatorPass, of: str) -> Tensor:
        ones, zeros = (
            low + (high - low) * scores.info.uniform(name, scores.batch, every=scores.pack)
            for name, (low, high) in (
                (f"label_smoothing/{of}/1", self.real),
                (f"label_smoothing/{of}/0", self.fake),
            )
        )
        return labels * ones + (1 - labels) * zeros
