"""l2-memorization: generated images that would count as extracted training images.

[1] Carlini, Hayes, Nasr, Jagielski, Sehwag, Tramer, Balle, Ippolito, Wallace 2023, "Extracting
    training data from diffusion models", arXiv:2301.13188, Sec. 5.1.

With S the n training images nearest to the generated image g, by l2 between pixels,

    l(g) = d(g, nearest of S) / (alpha mean of d(g, s) over s in S),    n = 50, alpha = 1/2,

and g is memorized if l(g) < 1: its nearest training image is less than half as far as the nearest
fifty are on average. S holds the nearest image itself.
"""

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.memorized_fraction import FlaggedShare
from ganstoch.metrics.neighbours import k_nearest

NEIGHBOURS = 50
_ALPHA = 0.5


def l2_memorization(generated: Tensor, train: Tensor) -> FlaggedShare:
    """Share of generated images (M, F...) that are memorized [1] from training images (N, F...).

    Of fewer than 50 training images all are taken; at least 2.
    """
    near = k_nearest(generated, train, k=max(2, min(NEIGHBOURS, len(train))), norm="l2")
    return l2_memorized_from(near.distances)


def l2_memorized_from(distances: Tensor) -> FlaggedShare:
    """`l2_memorization`, from the l2 distances to the n nearest training images (M, n)."""
    return FlaggedShare.below(distances[:, 0] / (_ALPHA * distances.mean(1)), 1.0)


class L2Memorization(FeatureMetric):
    """Percentage of memorized images [1], ``l2_memorization/<extractor>/{percent,low,high}``.

    In [0, 100], with the exact 95 % interval; smaller is better.
    """

    higher_is_better = False

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = l2_memorization(generated, real)
        shares = zip(("percent", "low", "high"), self.result, strict=False)
        key = f"l2_memorization/{self.extractor.name}"
        return {f"{key}/{part}": 100 * share for part, share in shares}
