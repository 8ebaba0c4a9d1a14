"""How many generated images are no mere variations of a training image: AuthPct.

[1] Alaa et al. 2022, "How faithful is your synthetic data? Sample-level metrics for evaluating and
auditing generative models", arXiv:2102.08921, Sec. 5. With i*(j) the training image nearest to the
generated image j,

    j is authentic  <=>  d(j, i*(j)) > d(i*(j), nearest other training image of i*(j)).

A copy is never authentic, but a novel image need not be either: what it is held against is the
spacing of the training set itself. Which share novel images reach is told by held-out ones.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.neighbours import nearest_neighbours, within_set_nearest
from ganstoch.types import Neighbours, Norm


class AuthPctScore(NamedTuple):
    """The authentic generated images, in percent and one by one, bool, shape (M,)."""

    percent: float
    authentic: Tensor


def authpct(train: Tensor, generated: Tensor, *, norm: Norm = "l2") -> AuthPctScore:
    """Which generated images are farther from the training set than its members from each other.

    Args:
        train: features of training images, shape (N, F...), uint8, float32 or float64, N > 1.
        generated: features of generated images, shape (M, F...).
        norm: "l1" or "l2"; [1] takes l2.
    """
    nearest = nearest_neighbours(generated, train, norm=norm)
    return authpct_from(nearest, within_set_nearest(train, norm=norm).distances)


def authpct_from(nearest: Neighbours, spacing: Tensor) -> AuthPctScore:
    """`authpct`, from nearest training images and their distances to their nearest others (N,)."""
    authentic = nearest.distances > spacing[nearest.ids]
    return AuthPctScore(100 * authentic.double().mean().item(), authentic)


class AuthPct(FeatureMetric):
    """The share of authentic generated images as a `torchmetrics.Metric`.

    Real images are those of the training set. ``compute`` returns one float64 scalar in [0, 100],
    ``authpct/<extractor>``; larger is better.
    """

    default_features = "inception"
    higher_is_better = True

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = authpct(real, generated, norm=self.extractor.norm)
        return {f"authpct/{self.extractor.name}": self.result.percent}
