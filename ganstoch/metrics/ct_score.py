"""The three-sample test of data copying, C_T.

[1] Meehan, Chaudhuri, Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative
    Models", arXiv:2004.05675, Sec. 3.

With L(x) the distance from x to the nearest training image, U is the number of pairs of a generated
image q and a held-out one p with L(q) > L(p), ties counted half (Mann-Whitney). For m generated and
n held-out images,

    Z_U = (U - m n / 2) / sqrt(m n (m + n + 1) / 12)

is about standard normal where both are as far from the training images; Z_U << 0 is copying, Z_U
>> 0 underfitting. As a generator may do either in different regions, Z_U is taken within the cells
of a k-means clustering of the training images, each with its own training images only, and

    C_T = sum_c P_n(c) Z_U(c) / sum_c P_n(c)

over the cells that hold a share of more than tau of the generated images; P_n(c) is the share of
held-out images in cell c. The authors' program adds 1/2 to each U, which the paper does not.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.features import Extractor, FeatureSpace
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Norm

__all__ = ["CT", "CTScore", "Cell", "ct_score", "rank_z"]

_LEAST = 20
_CLUSTERED = 10_000
"""Training images that place the centres: enough for tens of cells, whatever the data's size."""
_BLOCK_ELEMENTS = 2**24
"""Numbers in one float32 block: 64 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: its Z_U (NaN without images of each kind), its images, whether it counts in C_T."""

    z: float
    train: int
    held_out: int
    generated: int
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CTScore:
    """Result of the test.

    Attributes:
        value: C_T: far below 0 is copying, far above 0 underfitting; NaN if no cell counts.
        z: Z_U of all images, without cells.
        cells: in the order of the clustering.
    """

    value: float
    z: float
    cells: tuple[Cell, ...]


def ct_score(
    generated: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    norm: Norm,
    cells: int = 10,
    tau: float | None = None,
    seed: int = 0,
) -> CTScore:
    """C_T of [1] and all that it is made of.

    Args:
        generated: features, shape (M, F...), uint8, float32 or float64.
        train: features of training images, shape (N, F...).
        held_out: features of real images that were not trained on, shape (K, F...).
        norm: of the distances, "l1" or "l2"; cells are always made by l2.
        cells: how many, at least 1; fewer if there are not as many different training images. Their
            centres come from a random 10,000 of the training images, if there are more.
        tau: a cell counts if more than this share of the generated images is in it; None for 20
            images, as in the authors' own program.
        seed: decides the clustering.
    """
    if cells < 1:
        raise ValueError(f"cells must be at least 1, got {cells}")
    share = _LEAST / len(generated) if tau is None else tau
    to_train = [nearest_neighbours(x, train, norm=norm).distances for x in (generated, held_out)]
    centres = _centres(train, cells=cells, seed=seed)
    of_train, of_held_out, of_generated = (
        _assign(x, centres) for x in (train, held_out, generated)
    )
    result = []
    for c in progress_bar(range(len(centres)), "cells"):
        members = [torch.nonzero(of == c)[:, 0] for of in (of_train, of_held_out, of_generated)]
        counts = [len(ids) for ids in members]
        z = torch.nan
        if min(counts) > 0:
            own = train[members[0].to(train.device)]
            near = [
                nearest_neighbours(x[ids.to(x.device)], own, norm=norm).distances
                for x, ids in ((generated, members[2]), (held_out, members[1]))
            ]
            z = rank_z(*near)
        result.append(
            Cell(
                z=z,
                train=counts[0],
                held_out=counts[1],
                generated=counts[2],
                counted=min(counts) > 0 and counts[2] / len(generated) > share,
            )
        )
    return CTScore(value=_weighted(result), z=rank_z(*to_train), cells=tuple(result))


def rank_z(generated: Tensor, held_out: Tensor) -> float:
    """Z_U [1, Sec. 3.1] of distances (M,) and (K,) to the nearest training image.

    Below 0 where generated images are nearer than held-out ones.
    """
    if generated.ndim != 1 or held_out.ndim != 1 or 0 in (len(generated), len(held_out)):
        raise ValueError(
            f"expected distances of shapes (M,) and (K,), got {tuple(generated.shape)} "
            f"and {tuple(held_out.shape)}"
        )
    m, n = len(generated), len(held_out)
    rising = held_out.double().sort().values
    asked = generated.double().contiguous()
    below = torch.searchsorted(rising, asked).sum().item()
    not_above = torch.searchsorted(rising, asked, right=True).sum().item()
    return float((below + not_above - m * n) / 2 / (m * n * (m + n + 1) / 12) ** 0.5)


def _weighted(cells: list[Cell]) -> float:
    counted = [cell for cell in cells if cell.counted]
    weight = sum(cell.held_out for cell in counted)
    return sum(cell.held_out * cell.z for cell in counted) / weight if weight else float("nan")


def _centres(train: Tensor, *, cells: int, seed: int) -> NDArray[np.float32]:
    """Centres of the cells, shape (C, F)."""
    from sklearn.cluster import KMeans  # takes a second to import
    from sklearn.exceptions import ConvergenceWarning

    rng = rng_for(seed, "evaluation", part="data_copying")
    ids = without_replacement(len(train), min(len(train), _CLUSTERED), rng).sort().values
    rows = train[ids.to(train.device)].flatten(1).to("cpu", torch.float32).numpy()
    draw = int(torch.randint(2**31 - 1, (), generator=rng))
    kmeans = KMeans(n_clusters=min(cells, len(rows)), n_init=1, random_state=draw)
    with warnings.catch_warnings():  # fewer different images than cells
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(rows)
    centres: NDArray[np.float32] = np.unique(kmeans.cluster_centers_, axis=0)
    return centres.astype(np.float32)


def _assign(features: Tensor, centres: NDArray[np.float32]) -> Tensor:
    """Which centre each row is nearest to, int64 (N,)."""
    about = torch.from_numpy(centres)
    blocks = torch.split(features, max(1, _BLOCK_ELEMENTS // centres.shape[1]))
    return torch.cat(
        [torch.cdist(b.flatten(1).to("cpu", torch.float32), about).argmin(1) for b in blocks]
    )


class CT(FeatureMetric):
    """C_T as a `torchmetrics.Metric`; see `ct_score`. Far below 0 is copying.

    ``compute`` returns float64 scalars ``ct/<extractor>/{value,z}``.
    """

    sides = ("real", "generated", "held_out")

    def __init__(
        self,
        features: Extractor | FeatureSpace = "pixel",
        *,
        cells: int = 10,
        seed: int = 0,
        reset_real_features: bool = True,
    ) -> None:
        if cells < 1:
            raise ValueError(f"cells must be at least 1, got {cells}")
        super().__init__(features, seed=seed, reset_real_features=reset_real_features)
        self.cells = cells

    def measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        """C_T, and Z_U without cells."""
        self.result = ct_score(
            generated,
            real,
            held_out,
            norm=self.extractor.norm,
            cells=self.cells,
            seed=self.seed,
        )
        key = f"ct/{self.extractor.name}"
        return {f"{key}/value": self.result.value, f"{key}/z": self.result.z}
