"""Precision, recall, density and coverage: how two sets lie in each other's manifold.

With balls around members as wide as the distance to their k-th nearest other,

    precision [1] = share of generated images in at least one real ball
    recall    [1] = share of real images in at least one generated ball
    density   [2] = mean over generated images of the real balls around each, / k
    coverage  [2] = share of real balls with at least one generated image

with strict inequalities, as in [2]'s reference program.

[1] Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing generative
models", arXiv:1904.06991. [2] Naeem et al. 2020, "Reliable fidelity and diversity metrics for
generative models", arXiv:2002.09797.
"""

from typing import NamedTuple, Unpack

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, Options, warn_of_repeats
from ganstoch.metrics.neighbours import kth_distances, pairs_within
from ganstoch.metrics.neighbours.byte_search import as_rows
from ganstoch.types import Norm


class PRDCScores(NamedTuple):
    """Shares in [0, 1] but for the density, which is about 1 where sets are alike."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, generated: Tensor, *, k: int = 5, norm: Norm = "l2") -> PRDCScores:
    """Precision, recall, density and coverage of more than k images a side; [2] takes l2, k = 5.

    Warns where each image of a side occurs more than k times.
    """
    real, generated = as_rows(real=real, generated=generated)
    radii, made_radii = (kth_distances(rows, k=k, norm=norm) for rows in (real, generated))
    warn_of_repeats(radii, side="real", k=k)
    warn_of_repeats(made_radii, side="generated", k=k)
    within = pairs_within(real, generated, first_radii=radii, second_radii=made_radii, norm=norm)
    return PRDCScores(
        precision=(within.balls_of_first_around > 0).double().mean().item(),
        recall=(within.balls_of_second_around > 0).double().mean().item(),
        density=within.balls_of_first_around.double().mean().item() / k,
        coverage=(within.in_ball_of_first > 0).double().mean().item(),
    )


class PRDC(FeatureMetric):
    """Precision, recall, density, coverage: ``prdc/<extractor>/{precision,...}``.

    Shares in [0, 1] but for the density, which is about 1 where both sets are drawn alike; larger
    is better.

    Args:
        k: the neighbour whose distance is an image's radius; each side needs more images.
    """

    default_features = "inception"
    higher_is_better = True

    def __init__(
        self, features: Features = None, *, k: int = 5, **options: Unpack[Options]
    ) -> None:
        super().__init__(features, **options)
        self._at_least(1, k=k)
        self.k = k

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = prdc(real, generated, k=self.k, norm=self.extractor.norm)
        return self._named("prdc", self.result, "precision", "recall", "density", "coverage")
