"""Which training images a generator misses.

As many generated as unseen real images are pooled, and each training image is asked for its eight
nearest of the pool. It is missed if none of them is generated. Without held-out images half of the
training images are pooled and the other half asks, each past its own near-duplicates: unseen
images would not be these. Where generated images as a whole lie farther from the data than real
ones do, by a factor c (`distance`), their distances are divided by c first, lest noise on the
images passes for modes left out.

Under the null the pool's labels are exchangeable, so they are permuted: that says how many images
are missed by nature, one in 256 or so, and how that number varies where a few images are near to
very many. With r the share that is missed and r_0 its mean over the permutations,

    missed = (r - r_0) / (1 - r_0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.auditing.searches import Searches
from ganstoch.auditing.space import Space, take
from ganstoch.metrics.excess import clopper_pearson
from ganstoch.metrics.neighbours import k_nearest
from ganstoch.metrics.progress import progress_bar
from ganstoch.report.audit_report import Share
from ganstoch.rng import rng_for, without_replacement

__all__ = ["Missed", "missed_images"]

_NEIGHBOURS = 8
_POOLED = 4000
"""Most images of each kind in the pool."""
_PERMUTATIONS = 1999
_SHARED = 4
"""One generated image serves all images around it, so that misses come in groups: in random splits
of real images r varied twice as much as of independent images, as if each of these were four."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Missed:
    """Training images that the generator misses.

    Attributes:
        share: beyond what is natural.
        rate: r, before what is natural is taken off.
        natural: r_0.
        p_value: chance of as large a rate where nothing is missed.
        ids: of the missed images, most missed first, int64.
        order: of all images that asked, most missed first, int64.
        classes: share of each class's images that are missed, by name; empty without labels.
    """

    share: Share
    rate: float
    natural: float
    p_value: float
    ids: Tensor
    order: Tensor
    classes: dict[str, float]


def missed_images(
    space: Space, searches: Searches, *, offset: float, labels: tuple[str, ...] | None = None
) -> Missed:
    """Applies the rule.

    Args:
        space: the sets' features.
        searches: of the same space.
        offset: how much farther from the data generated images lie than real ones; 1 or below is
            no farther.
        labels: class of each training image.
    """
    real, held_out, everyone = space.real, space.held_out, torch.arange(len(space.real))
    asking, others = everyone, everyone
    if held_out is None:
        mixed = torch.randperm(
            len(real), generator=rng_for(space.seed, "evaluation", part="audit/missed/half")
        )
        asking, others = (half.sort().values for half in mixed.tensor_split(2))
    bank = take(real, others) if held_out is None else held_out
    size = min(_POOLED, len(space.generated), len(bank))
    asked, k = take(real, asking), min(_NEIGHBOURS, size)
    made = k_nearest(
        asked,
        space.generated[_some(space, len(space.generated), size, part="generated")],
        k=k,
        norm=space.norm,
    )
    pooled = _some(space, len(bank), size, part="stand-in")
    unseen = k_nearest(asked, bank[pooled], k=min(2 * k, size), norm=space.norm)
    if held_out is None:
        of = searches.groups
        own = of[others[pooled]][unseen.ids] == of[asking][:, None]
        unseen.distances.masked_fill_(own, torch.inf)
    rng = rng_for(space.seed, "evaluation", part="audit/missed")
    distances = torch.cat([made.distances / max(1.0, offset), unseen.distances], dim=1)
    ids = torch.cat([made.ids, size + unseen.ids], dim=1)
    # In random order, so that of equally near images none is preferred.
    mixed = torch.randperm(distances.shape[1], generator=rng)
    near = distances[:, mixed].argsort(dim=1, stable=True)[:, :k]
    nearest = ids[:, mixed].gather(1, near)

    def alone(is_made: Tensor) -> Tensor:
        return ~is_made[nearest].any(1)

    is_made = torch.arange(2 * size) < size
    missed = alone(is_made)
    rate = missed.double().mean().item()
    natural = torch.empty(_PERMUTATIONS, dtype=torch.float64)
    for i in progress_bar(range(_PERMUTATIONS), "permutations", total=_PERMUTATIONS):
        natural[i] = alone(is_made[torch.randperm(2 * size, generator=rng)]).double().mean()
    mean = natural.mean().item()
    estimate = max(0.0, (rate - mean) / (1 - mean))
    worth = len(asked) / _SHARED
    low, high = clopper_pearson(rate * worth, worth)
    below = math.hypot(rate - low, natural.quantile(0.975).item() - mean)
    ratio = made.distances[:, 0] / unseen.distances.amin(1).clamp(min=1e-9)
    order = ratio.argsort(descending=True, stable=True)
    order = torch.cat([order[missed[order]], order[~missed[order]]])
    return Missed(
        share=Share(
            estimate=estimate,
            low=min(estimate, max(0.0, (rate - mean - below) / (1 - mean))),
            high=high,
        ),
        rate=rate,
        natural=mean,
        p_value=(1 + int((natural >= rate - 1e-12).sum())) / (1 + _PERMUTATIONS),
        ids=asking[order[: int(missed.sum())]],
        order=asking[order],
        classes={} if labels is None else _by_class(asking, missed, labels),
    )


def _some(space: Space, count: int, size: int, *, part: str) -> Tensor:
    """Ids of so many, in random order: positions must not tell between equally near images."""
    rng = rng_for(space.seed, "evaluation", part=f"audit/missed/{part}")
    return without_replacement(count, size, rng)


def _by_class(asked: Tensor, missed: Tensor, labels: tuple[str, ...]) -> dict[str, float]:
    place = {name: i for i, name in enumerate(sorted(set(labels)))}
    of = torch.tensor([place[labels[i]] for i in asked.tolist()])
    lost = torch.bincount(of, weights=missed.double(), minlength=len(place))
    sizes = torch.bincount(of, minlength=len(place))
    return {name: (lost[i] / sizes[i]).item() for name, i in place.items() if sizes[i] > 0}
