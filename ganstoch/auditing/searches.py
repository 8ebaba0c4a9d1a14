"""Who is nearest to whom in an audit: every search that several measures share, made once.

The nearest of more images is nearer. So where generated images are compared with held-out ones in
their place, the larger of the two sets is cut at random into blocks of the smaller one's size, each
is searched by itself, and what is measured is averaged over the blocks: nothing is thrown away, and
the minimum over the blocks is the distance to the whole set. Where no images were held out, half of
the training images stand in for them, and the others ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.auditing.space import Space, take
from ganstoch.metrics.k_nearest import within_set_nearest
from ganstoch.metrics.nearness import Nearness, left_out, nearness
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.randomness import generator
from ganstoch.types import Neighbours

__all__ = ["Searches", "search"]

_BLOCKS = 8
"""Most blocks that are compared; what is left of a set is searched as one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searches:
    """Distances of one space, in its own units, not scaled; float64 on the CPU.

    Attributes:
        generated: generated images asked of all training images.
        unseen: scores of real images that were not trained on, asked the same, shape (R,).
        unseen_distances: from such images to their nearest training image, shape (U,): of held-out
            images, or else of training images to their nearest other.
        within: for each training image its nearest other.
        to_generated: for each training image the nearest of all generated images.
        asked: ids of the training images that ask for ``reach_*``, int64, shape (A,).
        reach_generated: for each block of generated images, shape (A,): distances to its nearest.
        reach_real: the same for blocks of real images in their place.
        size: images in a block.
    """

    generated: Nearness
    unseen: Tensor
    unseen_distances: Tensor
    held_out: Neighbours | None
    within: Neighbours
    to_generated: Neighbours
    asked: Tensor
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
    within = within_set_nearest(real, norm=norm)
    if space.held_out is None:
        unseen, distances, held_out = left_out(real, norm=norm, seed=seed), within.distances, None
        half = _order(len(real), seed=seed, part="half")[: len(real) // 2]
        stand_in = take(real, half.sort().values)
        asks = torch.ones(len(real), dtype=torch.bool)
        asks[half] = False
        asked = asks.nonzero()[:, 0]
    else:
        near = nearness(space.held_out, real, norm=norm, seed=seed)
        unseen, distances, held_out = near.scores, near.neighbours.distances, near.neighbours
        stand_in, asked = space.held_out, torch.arange(len(real))
    size = min(len(space.generated), len(stand_in))
    reach, to_generated = _reach(space, space.generated, size, part="generated")
    reach_real, _ = _reach(space, stand_in, size, part="stand-in", whole=False)
    return Searches(
        generated=generated,
        unseen=unseen,
        unseen_distances=distances,
        held_out=held_out,
        within=within,
        to_generated=to_generated,
        asked=asked,
        reach_generated=tuple(found[asked] for found in reach),
        reach_real=tuple(found[asked] for found in reach_real),
        size=size,
    )


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
    rng = generator(seed, "evaluation", part=f"audit/{part}")
    return torch.randperm(count, generator=rng)
