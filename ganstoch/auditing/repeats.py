"""Which generated images are one image again, or nearly, and how many different ones there are.

Generated images are compared with as many of their own kind and as many training images, and with
d the distance to the nearest of each,

    rho = d(nearest other generated) / d(nearest training image).

An image is flagged at 1/2 or below; two that repeat each other are flagged together, so that each
counts for half at most. The share with rho below 1 is the leave-one-out accuracy of a
1-nearest-neighbour classifier on the generated images [1]. In the birthday test two images are the
same if nearer than all but 1 % of the real images come to their nearest other one.

[1] Lopez-Paz, Oquab 2017, "Revisiting classifier two-sample tests", arXiv:1610.06545.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.auditing.searches import (
    Space,
    group_halves,
    linked_groups,
    sample_ids,
    take,
)
from ganstoch.metrics.birthday import Support, estimate_support
from ganstoch.metrics.copy_score import HALF_AS_FAR
from ganstoch.metrics.excess import Excess, clopper_pearson, design_effect
from ganstoch.metrics.neighbours import nearest_neighbours, within_set_nearest
from ganstoch.types import Neighbours

_MOST = 4000
_PAIR = 2.0
_SAMPLE = 200
_ROUNDS = 40
_SAME = 0.01
_BLOCK_ELEMENTS = 2**22
# Images next to the same gap answer alike, so that this many count as one; in random splits of
# real images the share varied about as much.
_SHARED = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeats:
    """Generated images that are nearly another one, or nearer to their kind than to the data."""

    excess: Excess
    ids: Tensor  # of those that are nearly another one, int64, ascending
    share: float  # nearer to their own kind, 1/2 for draws; ties count half
    interval: tuple[float, float]  # of 95 %
    sure: float  # lower end of its 99.9 % interval
    baseline: float  # of real images in their place


def repeated_images(space: Space, *, design: float = 1.0) -> Repeats:
    """Compares generated images, and real ones in their place, of which so many count as one."""
    half = torch.zeros(len(space.real), dtype=torch.bool)
    if space.real_groups is None:
        half[sample_ids(len(half), len(half) // 2, seed=space.seed, part="repeated/half")] = True
    else:
        half[group_halves(space.real_groups, seed=space.seed)[0]] = True
    bank = take(space.real, half.nonzero()[:, 0])
    size = min(_MOST, len(space.generated), len(bank))
    stand_in = space.held_out
    if stand_in is None or len(stand_in) < size:
        stand_in = take(space.real, (~half).nonzero()[:, 0])
    data = space.sample(bank, size, "repeated/bank")
    ids = sample_ids(len(space.generated), size, seed=space.seed, part="repeated/generated")
    unseen = space.sample(stand_in, size, "repeated/stand-in")
    sets, norm = (take(space.generated, ids), unseen), space.norm
    own, usual = (within_set_nearest(rows, norm=norm) for rows in sets)
    other, usual_other = (nearest_neighbours(rows, data, norm=norm).distances for rows in sets)
    flagged, natural = _repeats(own.distances, other), _repeats(usual.distances, usual_other)
    effect = max(_PAIR, design, design_effect(linked_groups(usual.ids, natural)[natural]))
    total = max(1, round(size / effect))
    count, natural_count = (round(int(each.sum()) / effect) for each in (flagged, natural))
    share, worth = _nearer(own.distances, other), size / _SHARED
    return Repeats(
        excess=Excess(count, total, natural_count, total),
        ids=ids[flagged],
        share=share,
        interval=clopper_pearson(share * worth, worth),
        sure=clopper_pearson(share * worth, worth, level=0.999)[0],
        baseline=_nearer(usual.distances, usual_other),
    )


def _repeats(own: Tensor, other: Tensor) -> Tensor:
    return (own <= HALF_AS_FAR * other) & (own < other)


def _nearer(own: Tensor, other: Tensor) -> float:
    return ((own < other).double() + 0.5 * (own == other)).mean().item()


def same_below(space: Space, within: Neighbours) -> float:
    """The l2 distance at which images are the same: 1 % of real ones come as near to another."""
    apart = within.distances
    if space.norm != "l2":
        step = max(1, _BLOCK_ELEMENTS // space.real.shape[1])
        pairs = zip(torch.split(space.real, step), torch.split(within.ids, step), strict=True)
        apart = torch.cat([(a.double() - space.real[i].double()).norm(dim=1) for a, i in pairs])
    return apart.quantile(_SAME).item()


def support_size(space: Space, features: Tensor, *, threshold: float, part: str) -> Support:
    """The support that images point to; ``part`` tells the sets' samples apart."""
    rows = space.sample(features, _SAMPLE, f"variety/{part}").double()
    # Distances are all that counts, and as many coordinates as images keep them.
    u, s, _ = torch.linalg.svd(rows - rows[0], full_matrices=False)
    rounding = 1e-9 * (threshold + s.max().item())
    return estimate_support(u * s, threshold=threshold + rounding, repeats=_ROUNDS, seed=space.seed)
