"""Membership evidence: whether the nearest generated image gives a training image away.

[1] Shokri, Stronati, Song, Shmatikov 2017, "Membership inference attacks against machine learning
    models", arXiv:1610.05820. [2] Carlini, Chien, Nasr, Song, Terzis, Tramer 2022, "Membership
    inference attacks from first principles", arXiv:2112.03570: true positives at few false ones.
[3] Chen, Yu, Zhang, Fritz 2020, "GAN-Leaks", arXiv:1909.03935: by the nearest generated image.

An attacker calls real images training images if their nearest generated image is nearer than some
limit. With t and h the distances from training and from held-out images,

    AUC = P(t < h) + P(t = h) / 2,
    TPR = max P(t <= limit) over limits with P(h <= limit) <= 0.01.

Both intervals are of a bootstrap over groups of images, each set's by itself; the test permutes
whole groups.
"""

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
_Floats = NDArray[np.float64]
_Ids = NDArray[np.int64]
_Counts = _Floats | _Ids


class MembershipScore(NamedTuple):
    """How well the nearest generated image tells training images, each with a 95 % interval."""

    auc: float  # in [0, 1], 1/2 where it tells nothing
    auc_interval: tuple[float, float]
    tpr: float  # true positives at 1 % false positives, in [0, 1], 0.01 where it tells nothing
    tpr_interval: tuple[float, float]
    p_value: float  # chance of as high an AUC if membership made no difference, in (0, 1]


def membership(
    generated: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    norm: Norm,
    train_groups: Tensor | None = None,
    held_out_groups: Tensor | None = None,
    seed: int = 0,
) -> MembershipScore:
    """The evidence [2, 3] in features (M, F...), (N, F...) and (K, F...); groups are ids a row."""
    near = (nearest_neighbours(rows, generated, norm=norm).distances for rows in (train, held_out))
    return membership_from(
        *near, train_groups=train_groups, held_out_groups=held_out_groups, seed=seed
    )


def membership_from(
    train: Tensor,
    held_out: Tensor,
    *,
    train_groups: Tensor | None = None,
    held_out_groups: Tensor | None = None,
    seed: int = 0,
) -> MembershipScore:
    """`membership`, from distances to the nearest generated image (N,) and (K,)."""
    near = torch.cat([train, held_out]).double().numpy()
    # Equal distances are one level: between them no limit tells.
    levels, level = np.unique(near, return_inverse=True)
    first, second = np.split(level.reshape(-1), [len(train)])
    sides = [(first, _ids(train_groups, len(first))), (second, _ids(held_out_groups, len(second)))]
    rng = np.random.default_rng(rng_for(seed, "evaluation", part="membership").initial_seed())
    auc, tpr = _scores(*(np.bincount(of, minlength=len(levels)) for of, _ in sides))
    draws = []
    for _ in progress_bar(range(_RESAMPLES), "resamples"):
        counts = (np.bincount(of, _resampled(g, rng), minlength=len(levels)) for of, g in sides)
        draws.append(_scores(*counts))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0).tolist()
    return MembershipScore(
        auc=auc,
        auc_interval=(min(auc, low[0]), max(auc, high[0])),
        tpr=tpr,
        tpr_interval=(min(tpr, low[1]), max(tpr, high[1])),
        p_value=_p_value(near, *(groups for _, groups in sides), rng=rng),
    )


def _ids(groups: Tensor | None, count: int) -> _Ids:
    """Each row's group, from 0 on without a gap; all rows alone without groups."""
    if groups is None:
        return np.arange(count)
    if len(groups) != count:
        raise ValueError(f"{len(groups)} groups for {count} images")
    return np.unique(groups.numpy(), return_inverse=True)[1].reshape(-1)


def _resampled(groups: _Ids, rng: np.random.Generator) -> _Ids:
    """How often each row is in a draw of as many groups, with repeats."""
    number = int(groups.max()) + 1
    return np.bincount(rng.integers(number, size=number), minlength=number)[groups]


def _scores(train: _Counts, held_out: _Counts) -> tuple[float, float]:
    """AUC, and true positives at the false ones allowed, from images at each level of distance."""
    called, wrongly = train.cumsum(), held_out.cumsum()
    auc = (held_out * (called - train / 2)).sum() / (called[-1] * wrongly[-1])
    limit = np.searchsorted(wrongly, FALSE_POSITIVES * wrongly[-1] + 1e-9, side="right")
    return float(auc), float(called[limit - 1] / called[-1]) if limit else 0.0


def _p_value(near: _Floats, train: _Ids, held_out: _Ids, *, rng: np.random.Generator) -> float:
    ranks, number = rankdata(near), int(train.max()) + 1
    groups = np.concatenate([train, number + held_out])
    sizes, sums = np.bincount(groups), np.bincount(groups, ranks)

    def auc(called: _Ids) -> float:
        n = sizes[called].sum()
        return float(1 - (sums[called].sum() - n * (n + 1) / 2) / (n * (len(near) - n)))

    true = auc(np.arange(number)) - 1e-12  # of sums in another order
    draws = (rng.permutation(len(sizes))[:number] for _ in range(_PERMUTATIONS))
    return (1 + sum(auc(called) >= true for called in draws)) / (1 + _PERMUTATIONS)


class Membership(FeatureMetric):
    """AUC and true positives of a membership attack by the nearest generated image [2, 3].

    ``membership/<extractor>/{auc,auc_low,auc_high,tpr,tpr_low,tpr_high,p_value}``: an AUC of 1/2
    and 0.01 true positives at 1 % false ones are no evidence. Give held-out images too, 100 or
    more: of fewer none may be called.

    Args:
        seed: decides resamples and permutations.
    """

    sides = ("real", "generated", "held_out")

    def _measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        score = self.result = membership(
            generated, real, held_out, norm=self.extractor.norm, seed=self.seed
        )
        (auc_low, auc_high), (tpr_low, tpr_high) = score.auc_interval, score.tpr_interval
        parts = {"auc": score.auc, "auc_low": auc_low, "auc_high": auc_high, "tpr": score.tpr}
        parts |= {"tpr_low": tpr_low, "tpr_high": tpr_high, "p_value": score.p_value}
        return {f"membership/{self.extractor.name}/{part}": x for part, x in parts.items()}
