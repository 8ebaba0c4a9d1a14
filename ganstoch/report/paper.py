"""The paper's Table 1 as published, and the constants it was made with.

[1] Yazici et al. 2020, arXiv:2006.14265, Sec. 4 and Table 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from ganstoch.errors import UserError

__all__ = [
    "BETAS",
    "LATENT_DIM",
    "LEARNING_RATE",
    "SCORES",
    "SHARES",
    "TABLE1",
    "TITLES",
    "WIDTH",
    "N",
    "PaperRow",
    "Scores",
    "lookup",
    "title",
]

N = 12_800
"""Training images of each dataset [1, Sec. 4]."""

WIDTH = 1024
"""Channels of the widest map of either player [1, Tables 2 and 3]."""

LATENT_DIM = 512
"""Length of a latent [1, Sec. 4]."""

LEARNING_RATE = 1e-4
"""Adam's step size for both players [1, Sec. 4]."""

BETAS = (0.0, 0.9)
"""Adam's decay rates [1, Sec. 4]."""

SHARES = (4, 16, 64, 256)
"""n / m of the paper's mini-batches: m = 3200, 800, 200 and 50."""

TITLES = {"svhn": "SVHN", "cifar10": "CIFAR-10", "ffhq": "FFHQ"}
"""How the paper's datasets are written in a heading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The six numbers of a row: pixel l1 in grey levels per pixel and channel [1, Sec. 4].

    Attributes:
        overfitting_mean: generated image to nearest data image, mean over the queries.
        overfitting_worst10: the same, mean of the 10 % with the largest distances.
        overfitting_worst5: the same, mean of the 5 % with the largest distances.
        mode_drop_mean: data image to nearest generated image, mean over the queries.
        mode_drop_worst10: the same, mean of the 10 % with the largest distances.
        mode_drop_worst5: the same, mean of the 5 % with the largest distances.
    """

    overfitting_mean: float
    overfitting_worst10: float
    overfitting_worst5: float
    mode_drop_mean: float
    mode_drop_worst10: float
    mode_drop_worst5: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Scores:
        """Six numbers in the order of the table's columns."""
        return cls(**dict(zip(SCORES, values, strict=True)))

    @classmethod
    def read(cls, metrics: Mapping[str, float], *, where: str) -> Scores:
        """The six numbers out of a record's metrics, e.g. ``overfitting/pixel_l1/mean``.

        Raises:
            UserError: if one is missing; ``where`` names the record.
        """
        keys = [
            f"{direction}/pixel_l1/{statistic}"
            for direction in ("overfitting", "mode_drop")
            for statistic in ("mean", "worst10", "worst5")
        ]
        missing = [key for key in keys if key not in metrics]
        if missing:
            raise UserError(
                f"{where} has no {missing[0]}; measure pixel_l1 in both directions, or leave this "
                "run out of the table"
            )
        return cls.of(metrics[key] for key in keys)

    def values(self) -> list[float]:
        """The six numbers in the order of the table's columns."""
        return [getattr(self, name) for name in SCORES]


SCORES = tuple(field.name for field in fields(Scores))
"""Names of the six numbers, in the order of the table's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRow:
    """A row of Table 1.

    Attributes:
        dataset: one of ``svhn``, ``cifar10``, ``ffhq``.
        n_over_m: images per mini-batch's worth of them, n / m.
        noise: variance of the noise on the latents in training, 0 or 0.5.
        scores: the six published numbers.
    """

    dataset: str
    n_over_m: int
    noise: float
    scores: Scores

    @property
    def m(self) -> int:
        """The mini-batch size as published."""
        return N // self.n_over_m


_PUBLISHED: tuple[tuple[str, int, float, tuple[float, ...]], ...] = (
    ("svhn", 4, 0.0, (1.55, 2.82, 3.58, 1.55, 2.50, 2.80)),
    ("svhn", 16, 0.0, (3.05, 4.87, 5.55, 3.26, 6.35, 7.88)),
    ("svhn", 64, 0.0, (7.43, 11.59, 12.42, 7.84, 12.66, 13.99)),
    ("svhn", 256, 0.0, (9.06, 16.63, 18.6, 9.36, 20.8, 25.98)),
    ("svhn", 4, 0.5, (6.09, 10.71, 11.85, 7.15, 18.07, 22.76)),
    ("cifar10", 4, 0.0, (4.90, 7.40, 8.59, 4.88, 6.90, 7.39)),
    ("cifar10", 16, 0.0, (8.04, 12.96, 14.51, 8.43, 13.73, 15.6)),
    ("cifar10", 64, 0.0, (24.47, 37.01, 38.87, 24.71, 40.44, 43.36)),
    ("cifar10", 256, 0.0, (28.31, 42.42, 44.35, 29.49, 47.37, 50.89)),
    ("cifar10", 4, 0.5, (34.39, 49.57, 51.41, 32.16, 48.25, 51.31)),
    ("ffhq", 4, 0.0, (6.39, 9.71, 11.81, 6.57, 12.55, 17.41)),
    ("ffhq", 16, 0.0, (10.7, 16.2, 18.96, 10.72, 17.64, 21.74)),
    ("ffhq", 64, 0.0, (27.81, 38.78, 40.78, 28.38, 39.57, 41.59)),
    ("ffhq", 256, 0.0, (32.84, 43.79, 45.19, 32.57, 44.37, 46.27)),
    ("ffhq", 4, 0.5, (35.56, 45.83, 47.53, 33.9, 44.51, 46.04)),
)

TABLE1 = tuple(
    PaperRow(dataset=dataset, n_over_m=share, noise=noise, scores=Scores.of(values))
    for dataset, share, noise, values in _PUBLISHED
)
"""All fifteen rows, in the order of the paper."""


def lookup(dataset: str, *, n_over_m: float, noise: float) -> PaperRow | None:
    """The published row with the same n / m and noise, or None.

    m is a whole number, so in a subset whose size is no multiple of 256 n / m only comes near the
    paper's; within 5 % it counts as the same.
    """
    for row in TABLE1:
        near = abs(n_over_m / row.n_over_m - 1.0) <= 0.05
        if row.dataset == dataset and near and row.noise == noise:
            return row
    return None


def title(dataset: str) -> str:
    """A dataset's name as written in a heading; unknown names stay as they are."""
    return TITLES.get(dataset, dataset)
