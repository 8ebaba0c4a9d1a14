"""Precision, recall, density and coverage: how two sets lie in each other's manifold.

A set's manifold is the union of balls around its members, each as wide as the distance to the
member's k-th nearest other. All four are shares or means over members:

    precision = share of generated images in at least one real ball            generated -> real
    recall    = share of real images in at least one generated ball            real -> generated
    density   = mean over generated images of the real balls around each, / k  generated -> real
    coverage  = share of real balls with at least one generated image          real -> generated

Precision and recall are those of [1, Sec. 3], density and coverage those of [2, Eq. 3-4], with k of
the real set in both and strict inequalities, as in [2]'s reference program.

[1] Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing generative
models", arXiv:1904.06991. [2] Naeem et al. 2020, "Reliable fidelity and diversity metrics for
generative models", arXiv:2002.09797.
"""

from __future__ import annotations

from typing import NamedTuple, Unpack

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, Options
from ganstoch.metrics.neighbours import kth_distances, pairs_within
from ganstoch.types import Norm


class PRDCScores(NamedTuple):
    """Four numbers, shares in [0, 1] but for the density, which is about 1 where sets are alike."""

    precision: float
    recall: float
    density: float
    coverage: float
    covered: Tensor  # which real images' balls hold a generated one, bool, shape (N,)
    nearest_counts: Tensor  # generated images in each real image's ball, int64, shape (N,)


def prdc(real: Tensor, generated: Tensor, *, k: int = 5, norm: Norm = "l2") -> PRDCScores:
    """Precision, recall, density and coverage [1, 2].

    Args:
        real: features of real images, shape (N, F...), uint8, float32 or float64, N > k.
        generated: features of generated images, shape (M, F...), M > k.
        k: of the radii, at least 1; [2] takes 5.
        norm: "l1" or "l2", the latter in [1, 2].
    """
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
    ``prdc/<extractor>/{precision,recall,density,coverage}``; see `prdc`, also for ``k``.
    """

    default_features = "inception"
    higher_is_better = True

    def __init__(
        self, features: Features = None, *, k: int = 5, **options: Unpack[Options]
    ) -> None:
        super().__init__(features, **options)
        self.k = k

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = prdc(real, generated, k=self.k, norm=self.extractor.norm)
        parts = ("precision", "recall", "density", "coverage")
        return {f"prdc/{self.extractor.name}/{part}": getattr(self.result, part) for part in parts}
