"""Overfitting and mode drop of [1], pure functions of two sets of features.

[1] Yazici et al. 2020, "Empirical analysis of overfitting and mode drop in GAN training",
arXiv:2006.14265, Sec. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Neighbours, Norm

__all__ = [
    "OneWay",
    "Tail",
    "TwoWays",
    "nearest_of_sample",
    "overfitting_mode_drop",
    "sample_ids",
    "tail_means",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A set of distances in three numbers, in the units of the distances.

    Attributes:
        mean: over all of them.
        worst10: mean of the largest 10 %.
        worst5: mean of the largest 5 %.
    """

    mean: float
    worst10: float
    worst5: float

    def named(self, prefix: str) -> dict[str, float]:
        """The three under the names of metrics, e.g. ``overfitting/pixel_l1/mean``.

        Args:
            prefix: what comes before the last slash.
        """
        return {
            f"{prefix}/mean": self.mean,
            f"{prefix}/worst10": self.worst10,
            f"{prefix}/worst5": self.worst5,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWay:
    """Nearest neighbours in one direction, with what a figure needs to show the pairs.

    Attributes:
        queries: which members of the asking side were asked, int64, shape (Q,), ascending.
        neighbours: for each of them the nearest member of the other side, distances divided by the
            scale.
        tail: of those distances.
    """

    queries: Tensor
    neighbours: Neighbours
    tail: Tail


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWays:
    """Both metrics.

    Attributes:
        overfitting: generated images ask, all data answer; near 0 where the generator copies.
        mode_drop: data ask, all generated images answer; large where the generator left some out.
    """

    overfitting: OneWay
    mode_drop: OneWay

    def named(self, space: str) -> dict[str, float]:
        """The six numbers under the names of metrics.

        Args:
            space: name of the feature space, e.g. "pixel_l1".
        """
        return self.overfitting.tail.named(f"overfitting/{space}") | self.mode_drop.tail.named(
            f"mode_drop/{space}"
        )


def tail_means(distances: Tensor) -> Tail:
    """Mean of the distances, and means of their worst, that is largest, 10 % and 5 %.

    The worst p % of Q distances are the ceil(p Q / 100) largest, so at least one.

    Args:
        distances: shape (Q,), any dtype; summed in float64.

    Raises:
        ValueError: if there is none, or the shape is another.

    Example:
        >>> import torch
        >>> tail_means(torch.arange(1.0, 21.0))  # the worst: 19 and 20; 20
        Tail(mean=10.5, worst10=19.5, worst5=20.0)
    """
    if distances.ndim != 1 or len(distances) == 0:
        raise ValueError(f"expected distances of shape (Q,), got {tuple(distances.shape)}")
    falling = distances.double().sort(descending=True).values

    def worst(percent: int) -> float:
        # Whole numbers: 0.1 * 30 is a little more than 3, and its ceiling 4.
        return falling[: -(-percent * len(falling) // 100)].mean().item()

    return Tail(mean=worst(100), worst10=worst(10), worst5=worst(5))


def overfitting_mode_drop(
    real: Tensor,
    generated: Tensor,
    *,
    norm: Norm,
    queries: int | None = 200,
    seed: int = 0,
    scale: float = 1.0,
) -> TwoWays:
    """Overfitting and mode drop [1, Sec. 4].

    With N(q, S) = min_{s in S} ||q - s|| / scale:

        overfitting = {N(g, real) : g in a sample of generated}       generated -> data
        mode drop   = {N(x, generated) : x in a sample of real}       data -> generated

    each summed up by its mean and the means of its worst 10 % and 5 %. The sample is a function of
    the seed and the number of images, so it is the same in every evaluation of a run; the other
    side is always searched whole.

    Args:
        real: features of all data, shape (N, F...), uint8, float32 or float64.
        generated: features of all generated images, shape (M, F...).
        norm: "l1" or "l2".
        queries: size of the sample, at least 1; None, or as many as there are, asks every image.
        seed: any integer; decides the samples only.
        scale: what distances are divided by, above 0: the number of pixels and channels makes an
            l1 distance a mean difference.

    Raises:
        ValueError: for ``queries`` below 1, a scale not above 0, or features that
            `nearest_neighbours` refuses.

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
        >>> generated = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
        >>> both = overfitting_mode_drop(real, generated, norm="l1", queries=None)
        >>> both.overfitting.tail.mean, both.mode_drop.tail.mean
        (1.0, 3.0)
    """
    return TwoWays(
        overfitting=nearest_of_sample(
            generated, real, norm=norm, queries=queries, seed=seed, draw=0, scale=scale
        ),
        mode_drop=nearest_of_sample(
            real, generated, norm=norm, queries=queries, seed=seed, draw=1, scale=scale
        ),
    )


def nearest_of_sample(
    asking: Tensor,
    answering: Tensor,
    *,
    norm: Norm,
    queries: int | None = 200,
    seed: int = 0,
    draw: int = 0,
    scale: float = 1.0,
) -> OneWay:
    """From a sample of one side to the nearest of all of the other, one direction of the two.

    Args:
        asking: features, shape (Q, F...), of which a sample asks.
        answering: features, shape (M, F...).
        norm: as for `overfitting_mode_drop`.
        queries: idem.
        seed: idem.
        draw: which of the seed's samples; 0 is that of overfitting, 1 that of mode drop.
        scale: idem.

    Raises:
        ValueError: as `overfitting_mode_drop` does.
    """
    if queries is not None and queries < 1:
        raise ValueError(f"queries must be at least 1, or None for all, got {queries}")
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    ids = sample_ids(len(asking), queries, seed=seed, draw=draw)
    found = nearest_neighbours(asking[ids.to(asking.device)], answering, norm=norm)
    distances = found.distances / scale
    return OneWay(
        queries=ids,
        neighbours=Neighbours(distances=distances, ids=found.ids),
        tail=tail_means(distances),
    )


def sample_ids(count: int, size: int | None, *, seed: int, draw: int) -> Tensor:
    """Ids of the images that ask, ascending; see `nearest_of_sample`."""
    if size is None or size >= count:
        return torch.arange(count)
    rng = rng_for(seed, "evaluation", draw)
    return without_replacement(count, size, rng).sort().values
