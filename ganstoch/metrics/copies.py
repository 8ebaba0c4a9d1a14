"""What share of generated images are copies of training images.

An image counts if its `copy_score` is at or below a threshold: 1/2, half as far as usual, or less
where more than 1 % of unseen images, exact copies aside, would come as near. In a space made to see
edited copies (`Extractor.copy_limit`) those 1 % alone decide.
"""

from typing import Any, NamedTuple

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.copy_score import HALF_AS_FAR, copy_scores
from ganstoch.metrics.excess import Excess, design_effect
from ganstoch.types import Norm

_BY_NATURE = 0.01


class CopiedShare(NamedTuple):
    """Copies among generated images; ``excess`` has their share and its interval."""

    excess: Excess  # how many generated and how many unseen real images count
    threshold: float  # score at or below which an image counts
    suspects: Tensor  # ids of all generated images, the most suspicious first, int64, shape (M,)
    scores: Tensor  # of the generated images in their own order, float64, shape (M,)


def copied_share(
    generated: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    norm: Norm,
    seed: int = 0,
    limit: float = HALF_AS_FAR,
) -> CopiedShare:
    """Share of generated images that are copies of training images; features as `copy_scores`."""
    scores, baseline = (
        copy_scores(images, train, norm=norm, seed=seed).scores for images in (generated, held_out)
    )
    return share_of_copies(scores, baseline, limit=limit)


def share_of_copies(
    scores: Tensor,
    baseline: Tensor,
    *,
    groups: Tensor | None = None,
    design: float = 1.0,
    limit: float = HALF_AS_FAR,
) -> CopiedShare:
    """Share of copies from scores (M,) and those of unseen images (R,), groups near-duplicates.

    So many unseen images, or as many as are flagged together, say no more than one. A score above
    ``limit`` is none of a copy, however few unseen images have it.
    """
    threshold, inexact = limit, baseline[baseline > 0].double()
    if len(inexact):
        threshold = min(threshold, inexact.quantile(_BY_NATURE, interpolation="lower").item())
    counts = baseline <= threshold
    excess = Excess(
        count=int((scores <= threshold).sum()),
        total=len(scores),
        usual=int(counts.sum()),
        usual_total=len(baseline),
    ).by_groups(design if groups is None else max(design, design_effect(groups[counts])))
    return CopiedShare(excess, threshold, scores.argsort(stable=True), scores)


class Copies(FeatureMetric):
    """Share of generated images that are copies: ``copied/<extractor>/{estimate,low,high}``.

    In [0, 1], with a 95 % interval; see `copied_share`. Give held-out images too.

    Args:
        seed: decides the parts that the training images are cut into.
    """

    sides = ("real", "generated", "held_out")
    higher_is_better = False

    def _measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        options: dict[str, Any] = {"norm": self.extractor.norm, "limit": self.extractor.copy_limit}
        self.result = copied_share(generated, real, held_out, seed=self.seed, **options)
        return self._named("copied", self.result.excess, "estimate", "low", "high")
