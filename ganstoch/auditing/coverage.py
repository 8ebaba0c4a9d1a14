"""Which training images a generator misses.

As many generated as unseen real images are pooled, and each training image is missed if none of its
eight nearest of the pool is generated. Without held-out images half of the training images are
pooled for the other half, each past its own near-duplicates. With r the share that is missed and
r_0 its mean over permutations of the pool's labels, one in 256 or so,

    missed = (r - r_0) / (1 - r_0).
"""

import math
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ganstoch.auditing.report import Share
from ganstoch.auditing.searches import Searches, Space, group_halves, places_in_groups, take
from ganstoch.metrics.excess import clopper_pearson
from ganstoch.metrics.neighbours import k_nearest
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for, without_replacement

_NEIGHBOURS = 8
_POOLED = 4000  # most images of each kind in the pool
_PERMUTATIONS = 1999
# One generated image serves all images around it, so that misses come in groups: in random splits
# of real images r varied twice as much as of independent images, as if each of these were four.
_SHARED = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Coverage:
    """Training images that the generator misses."""

    missed: Share  # beyond what is natural
    rate: float  # r
    worth: float  # independent images that r says as much as
    natural: float  # r_0
    p_value: float  # chance of as large a rate where nothing is missed
    ids: Tensor  # of the missed images, most missed first, int64
    order: Tensor  # of all images that were looked up, most missed first, int64
    classes: dict[str, float]  # share of each class's images that are missed


def coverage(
    space: Space, searches: Searches, *, median_ratio: float, labels: tuple[str, ...] | None = None
) -> Coverage:
    """Applies the rule to generated images' distances over ``median_ratio``, lest noise count."""
    real, bank, groups = space.real, space.held_out, space.groups
    from_ids = others = torch.arange(len(real))
    if bank is None:
        halves = torch.randperm(len(real), generator=_rng(space, "/half")).tensor_split(2)
        from_ids, others = (half.sort().values for half in halves)
        if groups is not None:
            from_ids, others = group_halves(searches.groups, seed=space.seed)
        bank = take(real, others)
    if groups is not None:  # of each as many as are independent, as generated images are
        of_bank = groups[others if space.held_out is None else slice(len(real), None)]
        most = (torch.bincount(of_bank) / searches.design).round().clamp(min=1)[of_bank]
        kept = (places_in_groups(of_bank, _rng(space, "/single")) < most).nonzero()[:, 0]
        bank, others = take(bank, kept), others[kept if space.held_out is None else kept[:0]]
    size = min(_POOLED, len(space.generated), len(bank))
    images, k = take(real, from_ids), min(_NEIGHBOURS, size)
    # In random order: positions must not tell between equally near images.
    sample = without_replacement(len(space.generated), size, _rng(space, "/generated"))
    made = k_nearest(images, space.generated[sample], k=k, norm=space.norm)
    pooled = without_replacement(len(bank), size, _rng(space, "/stand-in"))
    unseen = k_nearest(images, bank[pooled], k=min(2 * k, size), norm=space.norm)
    if space.held_out is None:
        own = searches.groups[others[pooled]][unseen.ids] == searches.groups[from_ids][:, None]
        unseen.distances.masked_fill_(own, torch.inf)
    rng = _rng(space, "")
    distances = torch.cat([made.distances / max(1.0, median_ratio), unseen.distances], dim=1)
    ids = torch.cat([made.ids, size + unseen.ids], dim=1)
    mixed = torch.randperm(distances.shape[1], generator=rng)
    near = distances[:, mixed].argsort(dim=1, stable=True)[:, :k]
    nearest = ids[:, mixed].gather(1, near)
    is_made = torch.arange(2 * size) < size
    missed = ~is_made[nearest].any(1)
    rate = missed.double().mean().item()
    natural = torch.empty(_PERMUTATIONS, dtype=torch.float64)
    for i in progress_bar(range(_PERMUTATIONS), "permutations", total=_PERMUTATIONS):
        permuted = is_made[torch.randperm(2 * size, generator=rng)]
        natural[i] = (~permuted[nearest].any(1)).double().mean()
    mean = natural.mean().item()
    estimate = max(0.0, (rate - mean) / (1 - mean))
    worth = len(images) / _SHARED / searches.design
    low, high = clopper_pearson(rate * worth, worth)
    below = math.hypot(rate - low, natural.quantile(0.975).item() - mean)
    ratio = made.distances[:, 0] / unseen.distances.amin(1).clamp(min=1e-9)
    order = ratio.argsort(descending=True, stable=True)
    order = torch.cat([order[missed[order]], order[~missed[order]]])
    classes: dict[str, float] = {}
    if labels is not None:
        means = pd.Series(missed.numpy()).groupby([labels[i] for i in from_ids.tolist()]).mean()
        classes = dict(zip(map(str, means.index), means.tolist(), strict=True))
    low = min(estimate, max(0.0, (rate - mean - below) / (1 - mean)))
    return Coverage(
        missed=Share(estimate=estimate, low=low, high=high),
        rate=rate,
        worth=worth,
        natural=mean,
        p_value=(1 + int((natural >= rate - 1e-12).sum())) / (1 + _PERMUTATIONS),
        ids=from_ids[order[: int(missed.sum())]],
        order=from_ids[order],
        classes=classes,
    )


def _rng(space: Space, part: str) -> torch.Generator:
    return rng_for(space.seed, "evaluation", part=f"audit/missed{part}")
