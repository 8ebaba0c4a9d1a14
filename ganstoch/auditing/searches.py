"""Who is nearest to whom in an audit: every search that several measures share, made once.

What is natural is told by unseen real images: held-out ones, and where there are few or none of
them, the training images too, each asked of the others. Training images may hold near-duplicates
of each other that unseen ones would not meet, copies saved again as JPEG for one. So each question
is asked in the direction that accuses less: for "too near", a training image finds its
near-duplicates; for "too far", it passes them over.

The nearest of more images is nearer. So where generated images are compared with real ones in
their place (`stand_in`), the larger of the two sets is cut at random into blocks of the smaller
one's size, each is searched by itself, and what is measured is averaged over the blocks. Where no
images were held out, half of the training images stand in, near-duplicates kept together, and the
others ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.auditing.groups import grouped
from ganstoch.auditing.space import Space, take
from ganstoch.metrics.copy_score import HALF_AS_FAR, Nearness, left_out, nearness
from ganstoch.metrics.neighbours import first_equal, nearest_neighbours, times_each
from ganstoch.rng import rng_for
from ganstoch.types import Neighbours

__all__ = ["Searches", "search"]

_BLOCKS = 8
"""Most blocks that are compared; what is left of a set is searched as one."""

_ENOUGH = 200
"""Held-out images from which on they alone say what is natural."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searches:
    """Distances of one space, in its own units, not scaled; float64 on the CPU.

    Attributes:
        generated: generated images asked of all training images.
        left_out: training images asked of the others.
        held_out: held-out images asked of all training images; None without.
        groups: id of the group of near-duplicates that each training image is in, int64, (N,).
        unseen_scores: of real images that were not trained on, asked the same, shape (R,).
        unseen_groups: id of the group of each of these, int64, shape (R,).
        unseen_nearest: from such images to their nearest training image, shape (R,).
        unseen_distances: the same past near-duplicates, shape (U,).
        to_generated: for each training image the nearest of all generated images.
        asked: ids of the training images that ask for ``reach_*``, int64, shape (A,).
        stand_in: features of the real images in the generated ones' place, shape (S, F).
        reach_generated: for each block of generated images, shape (A,): distances to its nearest.
        reach_real: the same for blocks of the stand-ins.
        size: images in a block.
    """

    generated: Nearness
    left_out: Nearness
    held_out: Nearness | None
    groups: Tensor
    unseen_scores: Tensor
    unseen_groups: Tensor
    unseen_nearest: Tensor
    unseen_distances: Tensor
    to_generated: Neighbours
    asked: Tensor
    stand_in: Tensor
    reach_generated: tuple[Tensor, ...]
    reach_real: tuple[Tensor, ...]
    size: int


def search(space: Space) -> Searches:
    """Makes all searches of a space.

    Raises:
        ValueError: for fewer than 3 different training images, or what the searches refuse.
    """
    real, norm, seed = space.real, space.norm, space.seed
    generated = nearness(space.generated, real, norm=norm, seed=seed)
    own = left_out(real, norm=norm, seed=seed)
    first = first_equal(real)
    # Where all occur as often, twice say, `left_out` passes over their duplicates. Blank pages, of
    # which every part holds one, are no group: unseen images are blank as often.
    groups = grouped(
        own.neighbours.ids,
        own.scores <= HALF_AS_FAR,
        first=first if times_each(first) > 1 else None,
    )
    past = own.beyond_near_duplicates()
    past = past[~past.isnan()]
    if len(past) == 0:
        past = own.neighbours.distances
    unseen: tuple[Tensor, ...] = (own.scores, groups, own.neighbours.distances, past)
    held_out = None
    if space.held_out is not None:
        held_out = nearness(space.held_out, real, norm=norm, seed=seed)
        near, count = held_out.neighbours.distances, len(held_out.scores)
        unlike_any = len(real) + torch.arange(count)
        ours = (held_out.scores, unlike_any, near, near)
        few = count < _ENOUGH
        unseen = tuple(torch.cat([a, b]) if few else a for a, b in zip(ours, unseen, strict=True))
        stand_in, asked = space.held_out, torch.arange(len(real))
    else:
        asked, others = _halves(groups, seed=seed)
        stand_in = take(real, others)
    scores, unseen_groups, nearest, past = unseen
    size = min(len(space.generated), len(stand_in))
    reach, to_generated = _reach(space, space.generated, size, part="generated")
    reach_real, _ = _reach(space, stand_in, size, part="stand-in", whole=False)
    return Searches(
        generated=generated,
        left_out=own,
        held_out=held_out,
        groups=groups,
        unseen_scores=scores,
        unseen_groups=unseen_groups,
        unseen_nearest=nearest,
        unseen_distances=past,
        to_generated=to_generated,
        asked=asked,
        stand_in=stand_in,
        reach_generated=tuple(found[asked] for found in reach),
        reach_real=tuple(found[asked] for found in reach_real),
        size=size,
    )


def _halves(groups: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
    """Ids of those that ask and of those that stand in, about half each, no group torn."""
    names, members = torch.unique(groups, return_inverse=True)
    if len(names) == 1:  # cannot be helped
        names, members = groups, torch.arange(len(groups))
    sizes = torch.bincount(members)
    order = _order(len(names), seed=seed, part="half")
    before = sizes[order].cumsum(0) - sizes[order]
    asks = torch.zeros(len(names), dtype=torch.bool)
    asks[order[before < len(groups) / 2]] = True
    asks[order[-1]] = False  # were it not for the last, one group might hold all of a half
    return asks[members].nonzero()[:, 0], (~asks[members]).nonzero()[:, 0]


def _reach(
    space: Space, bank: Tensor, size: int, *, part: str, whole: bool = True
) -> tuple[list[Tensor], Neighbours]:
    """Distances from every training image to each block of a bank, and to all searched of it."""
    order = _order(len(bank), seed=space.seed, part=part)
    count = min(_BLOCKS, len(bank) // size)
    blocks = [order[i * size : (i + 1) * size] for i in range(count)]
    rest = order[count * size :]
    if whole and len(rest):
        blocks.append(rest)
    distances = torch.full((len(space.real),), torch.inf, dtype=torch.float64)
    ids = torch.zeros(len(space.real), dtype=torch.int64)
    each = []
    for block in blocks:
        members = block.sort().values
        found = nearest_neighbours(space.real, take(bank, members), norm=space.norm)
        each.append(found.distances)
        better = found.distances < distances
        distances = torch.where(better, found.distances, distances)
        ids = torch.where(better, members[found.ids], ids)
    return each[:count], Neighbours(distances=distances, ids=ids)


def _order(count: int, *, seed: int, part: str) -> Tensor:
    rng = rng_for(seed, "evaluation", part=f"audit/{part}")
    return torch.randperm(count, generator=rng)
