"""Which generated images are one image again, or nearly.

Two generated images that lie much nearer to each other than either does to the data were made from
one. Generated images ask as many of their own kind and as many training images, and with d the
distance to the nearest of each,

    rho = d(nearest other generated) / d(nearest training image).

Draws from the data have rho about 1; an image is flagged at 1/2 or below, as near-duplicates among
the training images are (`nearness`). What is natural is told by real images in the generated ones'
place: held-out ones, or half of the training images asked of the other half. A copy of a training
image has a rho that is large, and is counted elsewhere; exact repeats are counted of all images
(`facts`). Two that repeat each other are flagged together, so that each counts for half at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.auditing.groups import grouped
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.metrics.copy_score import HALF_AS_FAR
from ganstoch.metrics.excess import Excess, clopper_pearson, design_effect
from ganstoch.metrics.neighbours import nearest_neighbours, within_set_nearest

__all__ = ["Cluster", "Repeated", "repeated_images"]

_ASKED = 4000
_PAIR = 2.0
_SHARED = 2
"""Images next to the same gap answer alike, so that this many count as one; in random splits of
real images the share varied about as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Share of the images that lie nearer to their own kind than to the data: 1/2 for draws.

    Attributes:
        share: of generated images, in [0, 1]; ties count half.
        low: lower end of its 95 % interval.
        high: upper end.
        sure: lower end of its 99.9 % interval.
        baseline: of real images in their place.
        images: asked, of each set.
    """

    share: float
    low: float
    high: float
    sure: float
    baseline: float
    images: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeated:
    """Generated images that are nearly another one.

    Attributes:
        excess: those that are flagged, beside real images in their place.
        ids: of the flagged, int64, ascending.
        cluster: the same comparison at a ratio of 1.
    """

    excess: Excess
    ids: Tensor
    cluster: Cluster


def repeated_images(space: Space) -> Repeated:
    """Asks generated images, and real ones in their place."""
    half = torch.zeros(len(space.real), dtype=torch.bool)
    half[sample_ids(len(half), len(half) // 2, seed=space.seed, part="repeated/half")] = True
    bank, others = half.nonzero()[:, 0], (~half).nonzero()[:, 0]
    size = min(_ASKED, len(space.generated), len(bank))

    def some(features: Tensor, part: str) -> tuple[Tensor, Tensor]:
        ids = sample_ids(len(features), size, seed=space.seed, part=f"repeated/{part}")
        return ids, take(features, ids)

    held_out = space.held_out
    enough = held_out is not None and len(held_out) >= size
    stand_in = held_out if held_out is not None and enough else take(space.real, others)
    data = some(take(space.real, bank), "bank")[1]
    ids, made = some(space.generated, "generated")
    unseen = some(stand_in, "stand-in")[1]
    (own, other), (usual, usual_other) = (
        (
            within_set_nearest(rows, norm=space.norm),
            nearest_neighbours(rows, data, norm=space.norm).distances,
        )
        for rows in (made, unseen)
    )
    flagged, natural = _again(own.distances, other), _again(usual.distances, usual_other)
    effect = max(_PAIR, design_effect(grouped(usual.ids, natural)[natural]))
    share, baseline = _nearer(own.distances, other), _nearer(usual.distances, usual_other)
    worth = size / _SHARED
    low, high = clopper_pearson(share * worth, worth)
    return Repeated(
        excess=Excess(
            count=round(int(flagged.sum()) / effect),
            total=max(1, round(size / effect)),
            usual=round(int(natural.sum()) / effect),
            usual_total=max(1, round(size / effect)),
        ),
        ids=ids[flagged],
        cluster=Cluster(
            share=share,
            low=low,
            high=high,
            sure=clopper_pearson(share * worth, worth, level=0.999)[0],
            baseline=baseline,
            images=size,
        ),
    )


def _again(own: Tensor, other: Tensor) -> Tensor:
    return (own <= HALF_AS_FAR * other) & (own < other)


def _nearer(own: Tensor, other: Tensor) -> float:
    return ((own < other).double() + 0.5 * (own == other)).mean().item()
