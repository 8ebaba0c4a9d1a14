"""How unusually near an image is to one single image of a set.

A small distance alone says little: a blurred image is near everything. So the distance to the
nearest member is measured against the image's own surroundings. The set is cut at random into parts
of equal size, and with d_1 .. d_P an image's distances to the nearest member of each part,

    score = min_p d_p / median_p d_p.

An image that comes from nowhere in particular is about as far from every part, and its score is not
far below 1. A copy of one member is near that member's part and no other. The score has no unit,
and hardly depends on how large the set is; up to three near-duplicates of the member in other parts
change little, and exact duplicates nothing, since each member counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.metrics.neighbours import first_of_each, nearest_neighbours
from ganstoch.metrics.progress import shown
from ganstoch.randomness import generator
from ganstoch.types import Neighbours, Norm

__all__ = ["PARTS", "Nearness", "left_out", "nearest_in_parts", "nearness"]

PARTS = 8
"""Enough for a median that a few near-duplicates do not move."""

_LEFT_OUT = 2000
"""Images that stand for unseen ones: they fix a share of 1 % to within 0.2 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """Images asked of a set.

    Attributes:
        scores: in [0, 1], 0 for an exact copy of one member, 1 for an image as far from every part;
            float64, shape (Q,).
        neighbours: the nearest member of the whole set, as `nearest_neighbours` finds it.
    """

    scores: Tensor
    neighbours: Neighbours


def nearness(images: Tensor, train: Tensor, *, norm: Norm, seed: int = 0) -> Nearness:
    """How unusually near each image is to one single member of a set.

    Args:
        images: features, shape (Q, F...), uint8, float32 or float64.
        train: features of the set, shape (N, F...), at least 2 different rows.
        norm: "l1" or "l2".
        seed: decides the parts.

    Raises:
        ValueError: for fewer than 2 different members, or what `nearest_neighbours` refuses.
    """
    parts = _parts(_members(train, seed=seed))
    return nearest_in_parts(images, parts, rows=lambda ids: _take(train, ids), norm=norm)


def left_out(train: Tensor, *, norm: Norm, seed: int = 0) -> Tensor:
    """Scores of some members, asked of the rest of their own set: what unseen images would score.

    A fifth of the members is asked, at most 2,000. That the rest is a little smaller than the set
    moves all of an image's distances alike, and so not the score. A member with an exact duplicate
    counts once, and is asked of the others only.

    Args:
        train: features of the set, shape (N, F...), at least 3 different rows.
        norm: "l1" or "l2".
        seed: decides which are asked, and the parts.

    Returns:
        Scores in [0, 1], float64.

    Raises:
        ValueError: for fewer than 3 different members, or what `nearest_neighbours` refuses.
    """
    members = _members(train, seed=seed)
    if len(members) < 3:
        raise ValueError(f"needs at least 3 different training images, got {len(members)}")
    count = max(1, min(_LEFT_OUT, len(members) // 5))
    asked, rest = members[:count], members[count:]
    found = nearest_in_parts(
        _take(train, asked), _parts(rest), rows=lambda ids: _take(train, ids), norm=norm
    )
    return found.scores


def nearest_in_parts(
    images: Tensor, parts: Iterable[Tensor], *, rows: Callable[[Tensor], Tensor], norm: Norm
) -> Nearness:
    """Scores by given parts, of which one at a time is held.

    Args:
        images: features, shape (Q, F...).
        parts: ids of the members of each part, int64, ascending; at least 2 parts.
        rows: the features of members, given their ids.
        norm: "l1" or "l2".
    """
    parts = tuple(parts)
    distances = torch.empty(len(images), len(parts), dtype=torch.float64)
    ids = torch.empty(len(images), len(parts), dtype=torch.int64)
    for p, members in enumerate(shown(parts, "nearest images")):
        found = nearest_neighbours(images, rows(members), norm=norm)
        distances[:, p], ids[:, p] = found.distances, members[found.ids]
    nearest = distances.amin(1)
    lowest = torch.where(distances == nearest[:, None], ids, torch.iinfo(torch.int64).max).amin(1)
    around = distances.quantile(0.5, dim=1)
    # An image that most parts hold belongs to no single member.
    scores = torch.where(around > 0, nearest / around, 1.0)
    return Nearness(scores=scores, neighbours=Neighbours(distances=nearest, ids=lowest))


def _members(train: Tensor, *, seed: int) -> Tensor:
    """Ids of the different members in random order, int64."""
    if train.ndim < 2 or train.numel() == 0:
        raise ValueError(f"expected features of shape (N, F), got {tuple(train.shape)}")
    members = first_of_each(train.detach().flatten(1))
    if len(members) < 2:
        raise ValueError(f"needs at least 2 different training images, got {len(members)}")
    order = torch.randperm(len(members), generator=generator(seed, "evaluation", part="nearness"))
    return members[order]


def _parts(members: Tensor) -> list[Tensor]:
    """Members shared out evenly, each part ascending so that ties go to the lowest id."""
    shares = torch.tensor_split(members, min(PARTS, len(members)))
    return [share.sort().values for share in shares]


def _take(features: Tensor, ids: Tensor) -> Tensor:
    return features[ids.to(features.device)]
