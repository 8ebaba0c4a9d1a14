"""Overfitting and mode drop of [1]: the headline metric, for training, audit and other loops.

[1] Yazici et al. 2020, "Empirical analysis of overfitting and mode drop in GAN training",
arXiv:2006.14265, Sec. 4. With N(q, S) = min_{s in S} ||q - s|| / scale,

    overfitting = {N(g, real) : g in a sample of generated}       generated -> data
    mode drop   = {N(x, generated) : x in a sample of real}       data -> generated

each as its mean and the means of its worst, that is largest, 10 % and 5 %.
"""

from functools import partial
from typing import Literal, NamedTuple, Unpack

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, Options
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Neighbours, Norm


class TailMeans(NamedTuple):
    """A set of distances as three means: of all, of the largest 10 % and of the largest 5 %."""

    mean: float
    worst10: float
    worst5: float

    def named(self, prefix: str) -> dict[str, float]:
        """Under the names of metrics, e.g. ``overfitting/pixel_l1/mean``."""
        return {f"{prefix}/{part}": value for part, value in self._asdict().items()}


class NearestPairs(NamedTuple):
    """Nearest neighbours in one direction."""

    queries: Tensor  # members of the one side that were looked up, int64, shape (Q,), ascending
    neighbours: Neighbours  # nearest members of the other side, distances divided by the scale
    tail: TailMeans  # of those distances


class OverfittingScores(NamedTuple):
    """Both metrics: overfitting from generated images to the data, mode drop the other way."""

    overfitting: NearestPairs
    mode_drop: NearestPairs

    def named(self, space: str) -> dict[str, float]:
        """Under the names of metrics, in a feature space, e.g. "pixel_l1"."""
        overfitting = self.overfitting.tail.named(f"overfitting/{space}")
        return overfitting | self.mode_drop.tail.named(f"mode_drop/{space}")


def tail_means(distances: Tensor) -> TailMeans:
    """Means of distances (Q,), in float64; the worst p % are the ceil(p Q / 100) largest."""
    if distances.ndim != 1 or len(distances) == 0:
        raise ValueError(f"expected distances of shape (Q,), got {tuple(distances.shape)}")
    falling = distances.double().sort(descending=True).values

    def worst(percent: int) -> float:
        # Whole numbers: 0.1 * 30 is a little more than 3, and its ceiling 4.
        return falling[: -(-percent * len(falling) // 100)].mean().item()

    return TailMeans(worst(100), worst(10), worst(5))


def overfitting_mode_drop(
    real: Tensor,
    generated: Tensor,
    *,
    norm: Norm,
    queries: int | None = 200,
    seed: int = 0,
    scale: float = 1.0,
) -> OverfittingScores:
    """Overfitting and mode drop [1, Sec. 4], from the features of all images.

    Args:
        real: shape (N, F...), uint8 or floating.
        generated: shape (M, F...), the same.
        norm: "l1" or "l2".
        queries: size of each sample, at least 1; None takes every image.
        seed: decides the samples.
        scale: what distances are divided by, such as the number of pixels times channels.
    """
    closest = partial(nearest_of_sample, norm=norm, queries=queries, seed=seed, scale=scale)
    return OverfittingScores(
        overfitting=closest(generated, real, draw=0), mode_drop=closest(real, generated, draw=1)
    )


def nearest_of_sample(
    images: Tensor,
    bank: Tensor,
    *,
    norm: Norm,
    queries: int | None = 200,
    seed: int = 0,
    draw: int = 0,
    scale: float = 1.0,
) -> NearestPairs:
    """From the images (Q, F...) of the seed's sample 0 or 1, ``draw``, to the nearest of a bank."""
    if queries is not None and queries < 1:
        raise ValueError(f"queries must be at least 1, or None for all, got {queries}")
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    count = len(images)
    ids = torch.arange(count)
    if queries is not None and queries < count:
        ids = without_replacement(count, queries, rng_for(seed, "evaluation", draw)).sort().values
    nearest = nearest_neighbours(images[ids.to(images.device)], bank, norm=norm)
    return nearest_pairs(nearest, scale=scale, queries=ids)


def nearest_pairs(
    nearest: Neighbours, *, scale: float = 1.0, queries: Tensor | None = None
) -> NearestPairs:
    """Pairs from a search that has been made, of ``queries`` (Q,), by default of all images."""
    ids = torch.arange(len(nearest.ids)) if queries is None else queries
    scaled = Neighbours(distances=nearest.distances / scale, ids=nearest.ids)
    return NearestPairs(queries=ids, neighbours=scaled, tail=tail_means(scaled.distances))


class OverfittingModeDrop(FeatureMetric):
    """Overfitting and mode drop [1, Sec. 4] as a `torchmetrics.Metric`; smaller is closer.

    Between pixels, the distance is the mean absolute difference in grey levels, range [0, 255];
    between activations of a network it is l2. ``compute`` returns six float64 scalars,
    ``{overfitting,mode_drop}/<extractor>/{mean,worst10,worst5}``.

    Args:
        features: what `make_extractor` takes, as "pixel", "inception", or an `Extractor`.
        queries: images in each sample, at least 1, or "all"; [1] takes 200.
        seed: decides, with the order in which images come, which are in the samples.

    Example:
        >>> import torch
        >>> from ganstoch.metrics import OverfittingModeDrop
        >>> metric = OverfittingModeDrop("pixel", queries="all")
        >>> data = torch.tensor([0, 100], dtype=torch.uint8).reshape(2, 1, 1, 1)
        >>> metric.update(data, real=True)
        >>> metric.update(torch.full((3, 1, 1, 1), 10, dtype=torch.uint8), real=False)
        >>> values = metric.compute()
        >>> values["overfitting/pixel_l1/mean"]  # every generated image is 10 from the first
        tensor(10., dtype=torch.float64)
        >>> values["mode_drop/pixel_l1/mean"]  # and the data are 10 and 90 away
        tensor(50., dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(
        self,
        features: Features = None,
        *,
        queries: int | Literal["all"] = 200,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(features, **options)
        self.queries = None if queries == "all" else int(queries)
        self._at_least(1, queries=1 if self.queries is None else self.queries)

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = overfitting_mode_drop(
            real,
            generated,
            norm=self.extractor.norm,
            queries=self.queries,
            seed=self.seed,
            scale=self.extractor.scale(real.shape[1]),
        )
        named: dict[str, float] = self.result.named(self.extractor.name)
        return named
