"""How many generated images are no mere variations of a training image: AuthPct.

[1] Alaa et al. 2022, "How faithful is your synthetic data? Sample-level metrics for evaluating and
auditing generative models", arXiv:2102.08921, Sec. 5. With i*(j) the training image nearest to the
generated image j,

    j is authentic  <=>  d(j, i*(j)) > d(i*(j), nearest other training image of i*(j)).
"""

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, warn_of_repeats
from ganstoch.metrics.neighbours import nearest_neighbours, within_set_nearest
from ganstoch.types import Neighbours, Norm


def authpct(train: Tensor, generated: Tensor, *, norm: Norm = "l2") -> float:
    """Percentage of generated images (M, F...) authentic beside training images (N, F...).

    Warns where each training image occurs more than once.
    """
    nearest = nearest_neighbours(generated, train, norm=norm)
    spacing = within_set_nearest(train, norm=norm).distances
    warn_of_repeats(spacing, side="real", k=1)
    return authpct_from(nearest, spacing)


def authpct_from(nearest: Neighbours, spacing: Tensor) -> float:
    """`authpct`, from nearest training images and their distances to their nearest others (N,)."""
    return 100 * (nearest.distances > spacing[nearest.ids]).double().mean().item()


class AuthPct(FeatureMetric):
    """The percentage of authentic generated images, ``authpct/<extractor>``; larger is better."""

    default_features = "inception"
    higher_is_better = True

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = authpct(real, generated, norm=self.extractor.norm)
        return {f"authpct/{self.extractor.name}": self.result}
