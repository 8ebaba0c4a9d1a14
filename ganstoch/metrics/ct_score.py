"""The three-sample test of data copying, C_T.

[1] Meehan, Chaudhuri, Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative
    Models", arXiv:2004.05675, Sec. 3.

With U the number of pairs of one of m generated and one of n held-out images of which the first is
farther from its nearest training image, ties counted half (Mann-Whitney),

    Z_U = (U - m n / 2) / sqrt(m n (m + n + 1) / 12)

is about standard normal where both are as far; Z_U << 0 is copying, Z_U >> 0 underfitting. C_T is
its mean, weighted by held-out images, over those cells of a k-means clustering of the training
images that hold more than 20 generated images, as in the authors' program.
"""

import warnings
from typing import NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, Options
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.metrics.neighbours.byte_search import row_blocks
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Norm

_LEAST = 20
# Training images that place the centres: enough for tens of cells, whatever the data's size.
_CLUSTERED = 10_000


class CTScore(NamedTuple):
    """Result of the test."""

    value: float  # C_T; NaN if no cell holds enough images
    z: float  # Z_U of all images
    counted: int  # cells that hold enough images
    cells: int


def ct_score(
    generated: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    norm: Norm,
    cells: int = 10,
    seed: int = 0,
    nearest: tuple[Tensor, Tensor] | None = None,
) -> CTScore:
    """C_T of [1], far below 0 for copying, and Z_U of all images at once.

    From features (M, F...), (N, F...) and (K, F...), in ``cells`` cells of the training images.
    Distances (M,) and (K,) to the ``nearest`` training image are searched for unless known.
    """
    if cells < 1:
        raise ValueError(f"cells must be at least 1, got {cells}")

    def z(made: Tensor, own: Tensor, unseen: Tensor) -> float:
        return rank_z(*(nearest_neighbours(x, own, norm=norm).distances for x in (made, unseen)))

    z_of_all = z(generated, train, held_out) if nearest is None else rank_z(*nearest)
    centres = _centres(train, cells=cells, seed=seed)
    sets = (generated, train, held_out)
    places = [_assign(x, centres) for x in sets]
    total, weight, counted = 0.0, 0, 0
    for c in progress_bar(range(len(centres)), "cells"):
        made, own, unseen = (
            x[(place == c).to(x.device)] for x, place in zip(sets, places, strict=True)
        )
        if len(made) > _LEAST and len(own) and len(unseen):
            total += len(unseen) * z(made, own, unseen)
            weight += len(unseen)
            counted += 1
    value = total / weight if counted else torch.nan
    return CTScore(value, z_of_all, counted=counted, cells=len(centres))


def rank_z(generated: Tensor, held_out: Tensor) -> float:
    """Z_U [1, Sec. 3.1] of distances (M,) and (K,) to the nearest training image."""
    m, n = len(generated), len(held_out)
    rising = held_out.double().sort().values
    distances = generated.double().contiguous()
    below = torch.searchsorted(rising, distances).sum().item()
    not_above = torch.searchsorted(rising, distances, right=True).sum().item()
    return float((below + not_above - m * n) / 2 / (m * n * (m + n + 1) / 12) ** 0.5)


def _centres(train: Tensor, *, cells: int, seed: int) -> NDArray[np.float32]:
    from sklearn.cluster import KMeans  # takes a second to import
    from sklearn.exceptions import ConvergenceWarning

    rng = rng_for(seed, "evaluation", part="data_copying")
    ids = without_replacement(len(train), min(len(train), _CLUSTERED), rng).sort().values
    rows = train[ids.to(train.device)].flatten(1).to("cpu", torch.float32).numpy()
    draw = int(torch.randint(2**31 - 1, (), generator=rng))
    kmeans = KMeans(n_clusters=min(cells, len(rows)), n_init=1, random_state=draw, copy_x=False)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        kmeans.fit(rows)  # warns of fewer different images than cells
    centres: NDArray[np.float32] = np.unique(kmeans.cluster_centers_, axis=0)
    return centres.astype(np.float32)


def _assign(features: Tensor, centres: NDArray[np.float32]) -> Tensor:
    rows, about = features.flatten(1), torch.from_numpy(centres)
    blocks = (rows[i].to("cpu", torch.float32) for i in row_blocks(rows, len(rows)))
    return torch.cat([torch.cdist(block, about).argmin(1) for block in blocks])


class CT(FeatureMetric):
    """C_T of [1], ``ct/<extractor>/{value,z}``: far below 0 is copying. Give held-out images too.

    Args:
        cells: number of k-means cells that the images are compared in, at least 1.
        seed: decides the cells.
    """

    sides = ("real", "generated", "held_out")

    def __init__(
        self, features: Features = None, *, cells: int = 10, **options: Unpack[Options]
    ) -> None:
        super().__init__(features, **options)
        self._at_least(1, cells=cells)
        self.cells = cells

    def _measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        self.result = ct_score(
            generated, real, held_out, norm=self.extractor.norm, cells=self.cells, seed=self.seed
        )
        return self._named("ct", self.result, "value", "z")
