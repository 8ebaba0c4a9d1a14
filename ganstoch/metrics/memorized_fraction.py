"""The memorized fraction: generated images with one training image far nearer than any other.

[1] Yoon, Choi, Kwon, Ryu 2023, "Diffusion probabilistic models generalize when they fail to
    memorize", ICML workshop on structured probabilistic inference and generative modeling.
[2] Gu, Du, Pang, Li, Lin, Wang 2023, "On memorization in diffusion models", arXiv:2310.02664.
[3] Bonnaire, Urfin, Biroli, Mezard 2025, "Why diffusion models don't memorize", arXiv:2505.17638.

With d1 and d2 the l2 distances, not squared, to the nearest and second nearest training image,

    g is memorized  <=>  d1 / d2 < 1/3,

between pixels in [1-3]. A training set that holds an image twice hides its copies: d1 = d2.
"""

from typing import NamedTuple

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.excess import clopper_pearson
from ganstoch.metrics.neighbours import k_nearest

_THRESHOLD = 1 / 3


class FlaggedShare(NamedTuple):
    """A share of generated images in [0, 1], with its exact 95 % interval."""

    share: float
    low: float
    high: float
    ratios: Tensor  # of each image, below the threshold where it counts; NaN for 0 / 0, float64

    @classmethod
    def below(cls, ratios: Tensor, threshold: float) -> "FlaggedShare":
        """Of ratios (M,) below a threshold."""
        count = int((ratios < threshold).sum())
        return cls(count / len(ratios), *clopper_pearson(count, len(ratios)), ratios)


def memorized_fraction(generated: Tensor, train: Tensor) -> FlaggedShare:
    """Share of generated images (M, F...) that are memorized [2] from training images (N, F...)."""
    return memorized_from(k_nearest(generated, train, k=2, norm="l2").distances)


def memorized_from(distances: Tensor) -> FlaggedShare:
    """`memorized_fraction`, from ascending l2 distances to two or more training images (M, k)."""
    return FlaggedShare.below(distances[:, 0] / distances[:, 1], _THRESHOLD)


class MemorizedFraction(FeatureMetric):
    """The memorized fraction [2], ``memorized_fraction/<extractor>/{share,low,high}``, in [0, 1].

    Low and high are the exact 95 % interval; smaller is better.
    """

    higher_is_better = False

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = memorized_fraction(generated, real)
        return self._named("memorized_fraction", self.result, "share", "low", "high")
