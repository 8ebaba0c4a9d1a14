"""Which training images a generator misses.

An image is missed if it is much farther from every generated image than it would be from as many
unseen real ones. "Far" is measured by the image's own surroundings,

    s(x) = d(x, nearest of a block of generated images) / (d(x, nearest other real image) + median),

with the median of the latter distances over all images, so that a duplicate does not make a far
image out of its twin. The threshold is the 99 % quantile of s for real images in the generator's
place: 1 % is missed by nature. Where generated images as a whole lie farther from the data than
real ones do, by a factor c (`likeness`), every image is that much farther from them; the threshold
is raised by c, lest noise on the images passes for modes left out.

With r the share beyond the threshold, averaged over blocks, missed = (r - 1 %) / (1 - 1 %).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.auditing.searches import Searches
from ganstoch.auditing.shares import STRICT, wilson
from ganstoch.reporting.audit_report import Share

__all__ = ["BY_NATURE", "ClassMissed", "Missed", "missed_images"]

BY_NATURE = 0.01
"""Share of the images that the rule calls missed by unseen real images."""

_SHARED = 4
"""One generated image serves all images around it, so that misses come in groups: in random splits
of real images r varied twice as much as of independent images, as if each of these were four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMissed:
    """One class.

    Attributes:
        share: of its images that are missed, r, in [0, 1].
        baseline: of its images that real images in the generator's place would miss.
        sure: lower end of the 99.9 % interval of the share.
    """

    share: float
    baseline: float
    sure: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Missed:
    """Training images that the generator misses.

    Attributes:
        share: beyond what is natural.
        rate: r, before what is natural is taken off.
        sure: lower end of the 99.9 % interval of r.
        ids: of the images beyond the threshold in most blocks, most missed first, int64.
        order: of all images that asked, most missed first, int64.
        classes: by name; empty without labels.
    """

    share: Share
    rate: float
    sure: float
    ids: Tensor
    order: Tensor
    classes: dict[str, ClassMissed]


def missed_images(
    searches: Searches, *, offset: float, labels: tuple[str, ...] | None = None
) -> Missed:
    """Applies the rule.

    Args:
        searches: of one space.
        offset: how much farther from the data generated images lie than real ones; 1 or below is
            no farther.
        labels: class of each training image.
    """
    within = searches.within.distances
    around = within[searches.asked] + within.quantile(0.5)
    # Data of which most images have a duplicate: then all are measured alike.
    around = around if around.min() > 0 else torch.ones_like(around)
    score = torch.stack([found / around for found in searches.reach_generated])
    usual = torch.stack([found / around for found in searches.reach_real])
    limit = max(1.0, offset) * _quantile(usual, 1 - BY_NATURE)
    beyond, natural = score > limit, usual > limit
    rate = beyond.double().mean().item()
    count = beyond.shape[1] / _SHARED
    low, high = (max(0.0, (end - BY_NATURE) / (1 - BY_NATURE)) for end in wilson(rate, count))
    order = score.mean(0).argsort(descending=True, stable=True)
    often = beyond.double().mean(0)[order] > 0.5
    return Missed(
        share=Share(estimate=max(0.0, (rate - BY_NATURE) / (1 - BY_NATURE)), low=low, high=high),
        rate=rate,
        sure=wilson(rate, count, z=STRICT)[0],
        ids=searches.asked[order[often]],
        order=searches.asked[order],
        classes={} if labels is None else _by_class(searches.asked, beyond, natural, labels),
    )


def _quantile(values: Tensor, q: float) -> float:
    rising = values.flatten().sort().values  # torch.quantile refuses more than 2^24 values
    return rising[min(len(rising) - 1, int(q * len(rising)))].item()


def _by_class(
    asked: Tensor, beyond: Tensor, natural: Tensor, labels: tuple[str, ...]
) -> dict[str, ClassMissed]:
    names = sorted(set(labels))
    place = {name: i for i, name in enumerate(names)}
    of = torch.tensor([place[labels[i]] for i in asked.tolist()])
    found = {}
    for i, name in enumerate(names):
        members = of == i
        if not members.any():
            continue
        share = beyond[:, members].double().mean().item()
        found[name] = ClassMissed(
            share=share,
            baseline=natural[:, members].double().mean().item(),
            sure=wilson(share, max(1.0, int(members.sum()) / _SHARED), z=STRICT)[0],
        )
    return found
