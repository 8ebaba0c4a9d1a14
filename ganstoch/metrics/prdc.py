"""Precision, recall, density and coverage: how two sets lie in each other's manifold.

With NND_k(x) the distance of x to its k-th nearest other member of its own set, a set's manifold is
the union of the balls of that radius around its members. All four are shares or means over members:

    precision = share of generated images in at least one real ball            generated -> real
    recall    = share of real images in at least one generated ball            real -> generated
    density   = mean over generated images of the real balls around each, / k  generated -> real
    coverage  = share of real balls with at least one generated image          real -> generated

Precision and recall are those of [1, Sec. 3], density and coverage those of [2, Eq. 3-4], with k of
the real set in both and strict inequalities, as in [2]'s reference program. A copy of a real image
is in that image's ball unless the ball has radius 0, that is unless k other real images equal it.

[1] Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing generative
models", arXiv:1904.06991. [2] Naeem et al. 2020, "Reliable fidelity and diversity metrics for
generative models", arXiv:2002.09797.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.features import Extractor, FeatureSpace
from ganstoch.metrics.neighbours import kth_distances, pairs_within
from ganstoch.types import Norm

__all__ = ["PRDC", "PRDCScores", "prdc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PRDCScores:
    """Four numbers, and which images they come from.

    Attributes:
        precision: share of generated images in the real manifold, in [0, 1].
        recall: share of real images in the generated manifold, in [0, 1].
        density: real balls around a generated image, in the mean, over k; about 1 where both sets
            are drawn alike.
        coverage: share of real images whose ball holds a generated one, in [0, 1].
        covered: which real images these are, bool, shape (N,).
        nearest_counts: generated images in each real image's ball, int64, shape (N,).
    """

    precision: float
    recall: float
    density: float
    coverage: float
    covered: Tensor
    nearest_counts: Tensor


def prdc(real: Tensor, generated: Tensor, *, k: int = 5, norm: Norm = "l2") -> PRDCScores:
    """Precision, recall, density and coverage [1, 2].

    Args:
        real: features of real images, shape (N, F...), uint8, float32 or float64, N > k.
        generated: features of generated images, shape (M, F...), M > k.
        k: of the radii, at least 1; [2] takes 5.
        norm: "l1" or "l2", the latter in [1, 2].

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> scores = prdc(real, torch.tensor([[0.25], [0.75], [99.0]]), k=1)
        >>> round(scores.precision, 3), round(scores.density, 3)  # two of three, in two balls each
        (0.667, 1.333)
        >>> scores.coverage, scores.covered.tolist()  # nothing near the second pair
        (0.5, [True, True, False, False])
    """
    if real[:1].numel() != generated[:1].numel():
        raise ValueError(
            f"real has {real[:1].numel()} features a row, generated has {generated[:1].numel()}"
        )
    within = pairs_within(
        real,
        generated,
        first_radii=kth_distances(real, k=k, norm=norm),
        second_radii=kth_distances(generated, k=k, norm=norm),
        norm=norm,
    )
    covered = within.in_ball_of_first > 0
    return PRDCScores(
        precision=(within.balls_of_first_around > 0).double().mean().item(),
        recall=(within.balls_of_second_around > 0).double().mean().item(),
        density=within.balls_of_first_around.double().mean().item() / k,
        coverage=covered.double().mean().item(),
        covered=covered,
        nearest_counts=within.in_ball_of_first,
    )


class PRDC(FeatureMetric):
    """Precision, recall, density and coverage as a `torchmetrics.Metric`.

    ``compute`` returns four float64 scalars, larger is better:
    ``prdc/<extractor>/{precision,recall,density,coverage}``; see `PRDCScores`.
    """

    higher_is_better = True

    def __init__(
        self,
        features: Extractor | FeatureSpace = "inception",
        *,
        k: int = 5,
        reset_real_features: bool = True,
    ) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        super().__init__(features, reset_real_features=reset_real_features)
        self.k = k

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The four numbers."""
        self.result = prdc(real, generated, k=self.k, norm=self.extractor.norm)
        parts = ("precision", "recall", "density", "coverage")
        return {f"prdc/{self.extractor.name}/{part}": getattr(self.result, part) for part in parts}
