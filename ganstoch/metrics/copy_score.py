"""How unusually near an image is to one single image of a set.

The set is cut at random into parts of equal size, and with d_1 .. d_P an image's distances to the
nearest member of each,

    score = min_p d_p / median_p d_p.

A copy of one member is near that member's part and no other. Up to three near-duplicates of the
member change little, and exact duplicates nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ganstoch.metrics.neighbours import (
    first_equal,
    first_of_each,
    k_nearest,
    nearest_neighbours,
    times_each,
    within_set_nearest,
)
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for
from ganstoch.types import Neighbours, Norm

PARTS = 8  # enough for a median that a few near-duplicates do not move
_FEW = 16
_LISTED = 2**22  # neighbours of a block of images, 64 MiB with their ids
HALF_AS_FAR = 0.5  # score at or below which a member is a near-duplicate


class CopyScores(NamedTuple):
    """Images compared with a set: scores from 0, a copy of one member, to 1, as far from all."""

    scores: Tensor  # in [0, 1], float64, shape (Q,)
    neighbours: Neighbours  # nearest members of the whole set, as `nearest_neighbours` finds them
    parts: Tensor  # distance to the nearest member of each part, float64, shape (Q, P)

    @classmethod
    def of(cls, distances: Tensor, ids: Tensor) -> "CopyScores":
        """From the distances to the nearest member of each part and whose they are, (Q, P) both."""
        nearest = distances.amin(1)
        others = torch.iinfo(torch.int64).max
        lowest = torch.where(distances == nearest[:, None], ids, others).amin(1)
        around = _median(distances)
        # An image that most parts hold belongs to no single member.
        scores = torch.where(around > 0, nearest / around, 1.0)
        return cls(scores, Neighbours(distances=nearest, ids=lowest), parts=distances)

    def beyond_near_duplicates(self) -> Tensor:
        """Distances (Q,) to parts without a near-duplicate; NaN if most parts hold exact copies."""
        around = _median(self.parts)
        near = self.parts <= HALF_AS_FAR * around[:, None]
        nearest = self.parts.masked_fill(near, torch.inf).amin(1)
        return torch.where(around > 0, nearest, torch.nan)


def copy_scores(images: Tensor, train: Tensor, *, norm: Norm, seed: int = 0) -> CopyScores:
    """How unusually near each image (Q, F...) is to one single member of a set (N, F...)."""
    parts = random_parts(train, seed=seed, least=2)
    return CopyScores.of(*nearest_in_parts(images, parts, rows=partial(_take, train), norm=norm))


def left_out_scores(
    train: Tensor, *, norm: Norm, seed: int = 0, groups: Tensor | None = None
) -> CopyScores:
    """Members (N, F...) compared with the rest of their own set: what unseen images would find.

    Given each member's group (N,), int64, with those of other groups: of a part that holds none the
    distance is infinite.
    """
    if groups is not None:
        return _scores_of_groups(train, groups, norm=norm, seed=seed)
    parts = random_parts(train, seed=seed, least=3)
    distances, nearest = nearest_in_parts(train, parts, rows=partial(_take, train), norm=norm)
    first = first_equal(train.detach().flatten(1))
    # Every image so often is every image once.
    repeats = torch.bincount(first, minlength=len(train)) > times_each(first)

    for p, part in enumerate(progress_bar(parts, "nearest others")):
        place = torch.searchsorted(part, first).clamp(max=len(part) - 1)
        own = ((part[place] == first) & ~repeats[first]).nonzero()[:, 0]
        if len(own) and len(part) > 1:
            others, whose = within_set_nearest(_take(train, part), norm=norm), place[own]
            distances[own, p], nearest[own, p] = others.distances[whose], part[others.ids[whose]]
        elif len(own):  # alone in its part
            distances[own, p] = torch.inf
    return CopyScores.of(distances, nearest)


def _scores_of_groups(train: Tensor, groups: Tensor, *, norm: Norm, seed: int) -> CopyScores:
    kinds = torch.stack([first_equal(train.detach().flatten(1)), groups], dim=1)
    members = first_of_each(kinds)  # an image of two groups stands for itself in both
    parts = [members[part] for part in random_split(len(members), seed=seed, least=3)]
    found = [
        _nearest_of_others(train, _take(train, part), groups, groups[part], norm=norm)
        for part in progress_bar(parts, "nearest of other groups")
    ]
    distances = torch.stack([near.distances for near in found], dim=1)
    ids = torch.stack([part[near.ids] for part, near in zip(parts, found, strict=True)], dim=1)
    return CopyScores.of(distances, ids)


def _nearest_of_others(
    images: Tensor, bank: Tensor, own: Tensor, groups: Tensor, *, norm: Norm
) -> Neighbours:
    """The nearest member of another group than an image's own; at infinity where there is none."""
    near = nearest_neighbours(images, bank, norm=norm)
    todo = (groups[near.ids] == own).nonzero()[:, 0]
    for k in (_FEW, int(torch.bincount(groups).max()) + 1):  # which no group fills
        if len(todo) == 0:
            break
        k, left = min(k, len(bank)), []
        for some in torch.split(todo, max(1, _LISTED // k)):
            listed = k_nearest(_take(images, some), bank, k=k, norm=norm)
            is_other = groups[listed.ids] != own[some, None]
            place = is_other.int().argmax(1, keepdim=True)
            near.distances[some] = listed.distances.gather(1, place)[:, 0]
            near.ids[some] = listed.ids.gather(1, place)[:, 0]
            left.append(some[~is_other.any(1)])
        todo = torch.cat(left)
    near.distances[todo] = torch.inf
    return near


def nearest_in_parts(
    images: Tensor, parts: Sequence[Tensor], *, rows: Callable[[Tensor], Tensor], norm: Norm
) -> tuple[Tensor, Tensor]:
    """Distances to the nearest member of each part, by ascending ids, and whose they are (Q, P)."""
    distances = torch.empty(len(images), len(parts), dtype=torch.float64)
    ids = torch.empty(len(images), len(parts), dtype=torch.int64)
    for p, part in enumerate(progress_bar(parts, "nearest images")):
        near = nearest_neighbours(images, rows(part), norm=norm)
        distances[:, p], ids[:, p] = near.distances, part[near.ids]
    return distances, ids


def _median(distances: Tensor) -> Tensor:
    """Of each row; a part that holds nobody else, at infinity, has no say."""
    return distances.masked_fill(distances.isinf(), torch.nan).nanquantile(0.5, dim=1)


def random_split(count: int, *, seed: int, least: int) -> list[Tensor]:
    """Places of so many members in parts of equal size, ascending in each."""
    if count < least:
        raise ValueError(f"needs {least} different training images or more, got {count}")
    order = torch.randperm(count, generator=rng_for(seed, "evaluation", part="nearness"))
    shares = torch.tensor_split(order, min(PARTS, count))
    return [share.sort().values for share in shares]


def random_parts(train: Tensor, *, seed: int, least: int) -> list[Tensor]:
    """Ids of different members (N, ...) in parts of equal size, ascending in each."""
    if train.ndim < 2 or train.numel() == 0:
        raise ValueError(f"expected features of shape (N, F), got {tuple(train.shape)}")
    members = first_of_each(train.detach().flatten(1))
    return [members[places] for places in random_split(len(members), seed=seed, least=least)]


def _take(features: Tensor, ids: Tensor) -> Tensor:
    return features[ids.to(features.device)]
