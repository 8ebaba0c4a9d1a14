"""How unusually near an image is to one single image of a set.

A small distance alone says little: a blurred image is near everything. So the distance to the
nearest member is measured against the image's own surroundings. The set is cut at random into parts
of equal size, and with d_1 .. d_P an image's distances to the nearest member of each part,

    score = min_p d_p / median_p d_p.

An image that comes from nowhere in particular is about as far from every part; a copy of one member
is near that member's part and no other. The score has no unit and hardly depends on the set's size;
up to three near-duplicates of the member change little, and exact duplicates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.metrics.neighbours import (
    first_equal,
    first_of_each,
    nearest_neighbours,
    times_each,
    within_set_nearest,
)
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Neighbours, Norm

# Enough for a median that a few near-duplicates do not move.
PARTS = 8
# Score at or below which a member is a near-duplicate.
HALF_AS_FAR = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CopyScores:
    """Images compared with a set: scores from 0, a copy of one member, to 1, as far from all."""

    scores: Tensor  # in [0, 1], float64, shape (Q,)
    neighbours: Neighbours  # nearest members of the whole set, as `nearest_neighbours` finds them
    parts: Tensor  # distance to the nearest member of each part, float64, shape (Q, P)

    def beyond_near_duplicates(self) -> Tensor:
        """Distance to the nearest member of parts without a near-duplicate, float64, shape (Q,).

        NaN for an image of which most parts hold an exact copy.
        """
        around = _median(self.parts)
        near = self.parts <= HALF_AS_FAR * around[:, None]
        nearest = self.parts.masked_fill(near, torch.inf).amin(1)
        return torch.where(around > 0, nearest, torch.nan)


def copy_scores(images: Tensor, train: Tensor, *, norm: Norm, seed: int = 0) -> CopyScores:
    """How unusually near each image (Q, F...) is to one single member of a set (N, F...).

    The set needs two different rows; the seed decides its parts.
    """
    parts = _parts(_members(train, seed=seed))
    return nearest_in_parts(images, parts, rows=lambda ids: _take(train, ids), norm=norm)


def left_out_scores(
    train: Tensor, *, norm: Norm, seed: int = 0, most: int | None = None
) -> CopyScores:
    """Members (N, F...) compared with the rest of their own set: what unseen images would find.

    Args:
        train: features of the set, at least 3 different rows.
        norm: "l1" or "l2".
        seed: decides which are looked up, and the parts.
        most: members to look up, drawn at random; None takes all, in their order.
    """
    members = _members(train, seed=seed)
    if len(members) < 3:
        raise ValueError(f"needs at least 3 different training images, got {len(members)}")
    ids = torch.arange(len(train))
    if most is not None and most < len(train):
        rng = rng_for(seed, "evaluation", part="nearness/left out")
        ids = without_replacement(len(train), most, rng).sort().values
    first = first_equal(train.detach().flatten(1))
    often = torch.bincount(first, minlength=len(train))
    # Every image so often is every image once.
    repeated = (often > times_each(first))[first[ids]]
    parts = _parts(members)
    images = _take(train, ids)
    distances = torch.empty(len(ids), len(parts), dtype=torch.float64)
    nearest = torch.empty(len(ids), len(parts), dtype=torch.int64)
    place = torch.full((len(train),), -1, dtype=torch.int64)
    for p, part in enumerate(progress_bar(parts, "nearest others")):
        near = nearest_neighbours(images, _take(train, part), norm=norm)
        distances[:, p], nearest[:, p] = near.distances, part[near.ids]
        place.fill_(-1)
        place[part] = torch.arange(len(part))
        own = ((place[first[ids]] >= 0) & ~repeated).nonzero()[:, 0]
        if len(own) and len(part) > 1:
            others = within_set_nearest(_take(train, part), norm=norm)
            whose = place[first[ids[own]]]
            distances[own, p], nearest[own, p] = others.distances[whose], part[others.ids[whose]]
        elif len(own):  # alone in its part
            distances[own, p] = torch.inf
    return _summed_up(distances, nearest)


def nearest_in_parts(
    images: Tensor, parts: Iterable[Tensor], *, rows: Callable[[Tensor], Tensor], norm: Norm
) -> CopyScores:
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
    for p, members in enumerate(progress_bar(parts, "nearest images")):
        near = nearest_neighbours(images, rows(members), norm=norm)
        distances[:, p], ids[:, p] = near.distances, members[near.ids]
    return _summed_up(distances, ids)


def _summed_up(distances: Tensor, ids: Tensor) -> CopyScores:
    """Scores from distances to parts (Q, P) and whose they are."""
    nearest = distances.amin(1)
    lowest = torch.where(distances == nearest[:, None], ids, torch.iinfo(torch.int64).max).amin(1)
    around = _median(distances)
    # An image that most parts hold belongs to no single member.
    scores = torch.where(around > 0, nearest / around, 1.0)
    return CopyScores(
        scores=scores, neighbours=Neighbours(distances=nearest, ids=lowest), parts=distances
    )


def _median(distances: Tensor) -> Tensor:
    """Of each row; a part that holds nobody else, at infinity, has no say."""
    known = distances.masked_fill(distances.isinf(), torch.nan)
    return known.nanquantile(0.5, dim=1)


def _members(train: Tensor, *, seed: int) -> Tensor:
    """Ids of the different members in random order, int64."""
    if train.ndim < 2 or train.numel() == 0:
        raise ValueError(f"expected features of shape (N, F), got {tuple(train.shape)}")
    members = first_of_each(train.detach().flatten(1))
    if len(members) < 2:
        raise ValueError(f"needs at least 2 different training images, got {len(members)}")
    order = torch.randperm(len(members), generator=rng_for(seed, "evaluation", part="nearness"))
    return members[order]


def _parts(members: Tensor) -> list[Tensor]:
    """Members shared out evenly, each part ascending so that ties go to the lowest id."""
    shares = torch.tensor_split(members, min(PARTS, len(members)))
    return [share.sort().values for share in shares]


def _take(features: Tensor, ids: Tensor) -> Tensor:
    return features[ids.to(features.device)]
