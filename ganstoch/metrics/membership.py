"""Membership evidence: whether the nearest generated image gives a training image away.

[1] Chen, Yu, Zhang, Fritz 2020, "GAN-Leaks", arXiv:1909.03935: an attack by that distance.
[2] Carlini, Chien, Nasr, Song, Terzis, Tramer 2022, "Membership inference attacks from first
    principles", arXiv:2112.03570: true positives at few false ones.

An attacker calls real images training images if their nearest generated image is nearer than some
limit. With t and h the distances from training and from held-out images,

    AUC = P(t < h) + P(t = h) / 2,
    TPR = max P(t <= limit) over limits with P(h <= limit) <= 0.01.

Intervals are of a bootstrap over groups of images, each set's by itself; the test permutes groups.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for
from ganstoch.types import Norm

FALSE_POSITIVES = 0.01
_RESAMPLES = 1000
_PERMUTATIONS = 999
_Array = NDArray[np.float64] | NDArray[np.int64]


class MembershipScore(NamedTuple):
    """How well the nearest generated image tells training images, with 95 % intervals."""

    auc: float  # in [0, 1], 1/2 where it tells nothing
    auc_low: float
    auc_high: float
    tpr: float  # true positives at 1 % false positives, in [0, 1], 0.01 where it tells nothing
    tpr_low: float
    tpr_high: float
    p_value: float  # chance of as high an AUC if membership made no difference, in (0, 1]


def membership(
    generated: Tensor, train: Tensor, held_out: Tensor, *, norm: Norm, seed: int = 0
) -> MembershipScore:
    """The evidence [1, 2] in features (M, F...), (N, F...) and (K, F...)."""
    near = (nearest_neighbours(rows, generated, norm=norm).distances for rows in (train, held_out))
    return membership_from(*near, seed=seed)


def membership_from(
    train: Tensor, held_out: Tensor, *, groups: Tensor | None = None, seed: int = 0
) -> MembershipScore:
    """`membership`, from distances to the nearest generated image (N,) and (K,).

    Given the group of each image (N + K,), none in both sets; else each is alone.
    """
    near, count = torch.cat([train, held_out]).double().numpy(), len(train)
    # Equal distances are one level: between them no limit tells.
    levels, level = np.unique(near, return_inverse=True)
    _, group = np.unique(np.arange(len(near)) if groups is None else groups, return_inverse=True)
    sides = np.split(np.arange(len(near)), [count])
    kinds = [np.unique(group[side]) for side in sides]
    rng = np.random.default_rng(rng_for(seed, "evaluation", part="membership").initial_seed())

    def counts() -> Iterator[_Array]:
        for side, several in zip(sides, kinds, strict=True):
            drawn = np.bincount(rng.choice(several, len(several)), minlength=len(near))
            yield np.bincount(level[side], drawn[group[side]], minlength=len(levels))

    scores = _scores(*(np.bincount(level[side], minlength=len(levels)) for side in sides))
    resamples = progress_bar(range(_RESAMPLES), "resamples")
    low, high = np.quantile([_scores(*counts()) for _ in resamples], [0.025, 0.975], axis=0)
    auc, tpr = (
        (value, min(value, float(below)), max(value, float(above)))
        for value, below, above in zip(scores, low, high, strict=True)
    )
    return MembershipScore(*auc, *tpr, _p_value(near, group, kinds[0], rng=rng))


def _scores(train: _Array, held_out: _Array) -> tuple[float, float]:
    """AUC, and true positives at the false ones allowed, from images at each level of distance."""
    called, wrongly = train.cumsum(), held_out.cumsum()
    auc = (held_out * (called - train / 2)).sum() / (called[-1] * wrongly[-1])
    limit = np.searchsorted(wrongly, FALSE_POSITIVES * wrongly[-1] + 1e-9, side="right")
    return float(auc), float(called[limit - 1] / called[-1]) if limit else 0.0


def _p_value(near: _Array, group: _Array, train: _Array, *, rng: np.random.Generator) -> float:
    sizes, sums = np.bincount(group), np.bincount(group, rankdata(near))

    def auc(called: _Array) -> float:
        n = sizes[called].sum()
        return float(1 - (sums[called].sum() - n * (n + 1) / 2) / (n * (len(near) - n)))

    true = auc(train) - 1e-12  # of sums in another order
    draws = (rng.permutation(len(sizes))[: len(train)] for _ in range(_PERMUTATIONS))
    return (1 + sum(auc(called) >= true for called in draws)) / (1 + _PERMUTATIONS)


class Membership(FeatureMetric):
    """AUC and true positives of a membership attack by the nearest generated image [1, 2].

    ``membership/<extractor>/{auc,auc_low,auc_high,tpr,tpr_low,tpr_high,p_value}``: an AUC of 1/2
    and 0.01 true positives at 1 % false ones are no evidence. Give held-out images too, 100 or
    more: of fewer none may be called.

    Args:
        seed: decides resamples and permutations.
    """

    sides = ("real", "generated", "held_out")

    def _measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        self.result = membership(
            generated, real, held_out, norm=self.extractor.norm, seed=self.seed
        )
        return self._named("membership", self.result, *MembershipScore._fields)
