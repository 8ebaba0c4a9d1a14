"""Which generated images are copies of training images, and what share of all they are.

[1] Feng, Guo, Benitez-Quiroz, Martinez 2021, "When do GANs replicate? On the choice of dataset
    size", ICCV 2021: the share of generated images below a stated distance (`replication_share`).

Ours (`copied_share`) states no distance. Generated images, and real ones that were not trained on,
are scored by how unusually near they are to one training image (`copy_score`), and fall below a
threshold t in shares F_g(t) and F_0(t). If a share c of the generated images are copies and the
others behave like unseen real ones,

    F_g(t) = c + (1 - c) F_0(t),    so    c = (F_g(t) - F_0(t)) / (1 - F_0(t)).

The threshold looks at real images only: t is 1/2, half as far as usual, or less where more than 1 %
of unseen images, exact copies aside, would come as near by nature. Intervals and test: `excess`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.copy_score import HALF_AS_FAR, copy_scores, left_out_scores
from ganstoch.metrics.excess import Excess, design_effect
from ganstoch.types import Norm

_BY_NATURE = 0.01

# Training images that stand for unseen ones: they fix a share of 1 % to within 0.2 %.
_LEFT_OUT = 5000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CopiedShare:
    """Copies among generated images; ``excess`` has their share and its interval."""

    excess: Excess  # how many generated and how many unseen real images count
    threshold: float  # score t at or below which an image counts
    suspects: Tensor  # ids of all generated images, the most suspicious first, int64, shape (M,)
    scores: Tensor  # of the generated images in their own order, float64, shape (M,)


def copied_share(
    generated: Tensor,
    train: Tensor,
    held_out: Tensor | None = None,
    *,
    norm: Norm,
    seed: int = 0,
) -> CopiedShare:
    """Share of generated images that are copies of training images.

    Noise, re-encoding or a slight change of brightness leave a copy a copy, as long as it stays
    half as far from its original as from the other training images around it. A mirrored or
    shifted image is no copy in pixels; it may be one between features of a network.

    Args:
        generated: features, shape (M, F...), uint8, float32 or float64.
        train: features of all training images, shape (N, F...).
        held_out: features of real images that were not trained on, of any number; None lets at most
            5,000 training images stand for them, each compared with the others.
        norm: "l1" or "l2".
        seed: decides the parts and which training images stand for unseen ones.
    """
    copies = copy_scores(generated, train, norm=norm, seed=seed)
    baseline = (
        left_out_scores(train, norm=norm, seed=seed, most=_LEFT_OUT).scores
        if held_out is None
        else copy_scores(held_out, train, norm=norm, seed=seed).scores
    )
    return share_of_copies(copies.scores, baseline)


def share_of_copies(
    scores: Tensor, baseline: Tensor, *, groups: Tensor | None = None
) -> CopiedShare:
    """Share of copies, from the scores of generated (M,) and of unseen real images (R,) alone.

    ``groups``, int64 (R,), says which unseen images are near-duplicates of each other: these count
    together or not at all, and so say less.
    """
    scores, baseline = _checked(scores), _checked(baseline)
    threshold = _threshold(baseline)
    counts = baseline <= threshold
    excess = Excess(
        count=int((scores <= threshold).sum()),
        total=len(scores),
        usual=int(counts.sum()),
        usual_total=len(baseline),
    ).by_groups(1.0 if groups is None else design_effect(groups[counts]))
    return CopiedShare(
        excess=excess,
        threshold=threshold,
        suspects=scores.argsort(stable=True),
        scores=scores,
    )


def replication_share(distances: Tensor, *, threshold: float) -> float:
    """Share of distances (M,) at or below a stated threshold [1], in [0, 1]."""
    if distances.ndim != 1 or len(distances) == 0:
        raise ValueError(f"expected distances of shape (M,), got {tuple(distances.shape)}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0, got {threshold}")
    return (distances <= threshold).double().mean().item()


def _checked(scores: Tensor) -> Tensor:
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"expected scores of shape (N,), got {tuple(scores.shape)}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    return scores.double()


def _threshold(baseline: Tensor) -> float:
    inexact = baseline[baseline > 0]
    if len(inexact) == 0:
        return HALF_AS_FAR
    return min(HALF_AS_FAR, inexact.quantile(_BY_NATURE, interpolation="lower").item())


class Copies(FeatureMetric):
    """Share of generated images that are copies, as a `torchmetrics.Metric`; see `copied_share`.

    ``compute`` returns float64 scalars ``copied/<extractor>/{estimate,low,high}``, in [0, 1].
    """

    sides = ("real", "generated", "held_out")
    higher_is_better = False

    def measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        """The share and the ends of its interval."""
        self.result = copied_share(
            generated, real, held_out, norm=self.extractor.norm, seed=self.seed
        )
        key = f"copied/{self.extractor.name}"
        excess = self.result.excess
        return {f"{key}/{part}": getattr(excess, part) for part in ("estimate", "low", "high")}
