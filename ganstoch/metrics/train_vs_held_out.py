"""Whether generated images are nearer to the training images than to unseen ones.

The share is averaged over random thinnings of training or held-out images to equal numbers, and 1/2
without memorization. The test: p is the share of permutations of the labels of the pooled real
images, the true ones among them, that reach the statistic [1]

    T = sum_g w_g [nearest of g is a training image],    w_g = log(max(score_g, 0.001))^2,

a vote of the generated images, each weighted by its `copy_scores` in the pool.

[1] Phipson, Smyth 2010, "Permutation p-values should never be zero", arXiv:1603.05766, Sec. 2.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.copy_score import PARTS, CopyScores, nearest_in_parts
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for
from ganstoch.types import Norm

_RESAMPLES = 1000
_BLOCK = 2**22  # random numbers drawn at once, 32 MiB
_COPY = 1e-3  # least score for a weight: rounding's even smaller ones would outweigh all others


class TrainVsHeldOutScore(NamedTuple):
    """Which real images the generated ones are nearer to."""

    share: float  # of generated images nearer to training images, in [0, 1]; ties count half
    low: float  # ends of its 95 % interval over other draws of generated images
    high: float
    p_value: float  # of the permutation test, in (0, 1]; small for nearer to training images


def train_vs_held_out(
    generated: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    norm: Norm,
    permutations: int = 999,
    groups: Tensor | None = None,
    seed: int = 0,
) -> TrainVsHeldOutScore:
    """Share of generated images nearer to training images, and whether chance explains more.

    Both real sets must be draws from one distribution: the test also tells sources apart. Groups of
    images, given by an id for each training and then each held-out one, are permuted whole.
    """
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
    if train.dtype != held_out.dtype:
        raise ValueError(f"training images are {train.dtype}, held-out ones {held_out.dtype}")
    nearer = _nearer(generated, train, held_out, norm=norm, seed=seed)
    low, high = _interval(nearer, seed=seed)
    sets = generated, train, held_out
    p_value = _p_value(*sets, norm=norm, permutations=permutations, groups=groups, seed=seed)
    return TrainVsHeldOutScore(share=nearer.mean().item(), low=low, high=high, p_value=p_value)


def _nearer(generated: Tensor, train: Tensor, held_out: Tensor, *, norm: Norm, seed: int) -> Tensor:
    """Share of thinnings in which each image is nearer to training ones, float64 (M,)."""
    small, large = sorted((train, held_out), key=len)
    to_small = nearest_neighbours(generated, small, norm=norm).distances
    rng = rng_for(seed, "evaluation", part="nearer/thinnings")
    order = torch.randperm(len(large), generator=rng)
    thinnings = -(-len(large) // len(small))
    # The last part is filled up with members of the first.
    ids = torch.cat([order, order])[: thinnings * len(small)].reshape(thinnings, -1)
    won = torch.zeros(len(generated), dtype=torch.float64)
    for some in progress_bar(ids, "thinnings"):
        thinned = large[some.sort().values.to(large.device)]
        to_large = nearest_neighbours(generated, thinned, norm=norm).distances
        won += (to_large < to_small).double() + 0.5 * (to_large == to_small)
    won /= thinnings
    return won if large is train else 1 - won


def _interval(values: Tensor, *, seed: int) -> tuple[float, float]:
    rng = rng_for(seed, "evaluation", part="nearer/resamples")
    count = len(values)
    means = []
    for rows in torch.split(torch.arange(_RESAMPLES), max(1, _BLOCK // count)):
        means.append(values[torch.randint(count, (len(rows), count), generator=rng)].mean(1))
    low, high = torch.cat(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return low.item(), high.item()


def _p_value(
    generated: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    norm: Norm,
    permutations: int,
    groups: Tensor | None,
    seed: int,
) -> float:
    count, pool = len(train), len(train) + len(held_out)
    # Positions in the pool must not tell the labels: they decide parts, and between equally near.
    rng = rng_for(seed, "evaluation", part="nearer/pool")
    order = torch.randperm(pool, generator=rng)
    parts = torch.tensor_split(torch.arange(pool), min(PARTS, pool))

    def rows(positions: Tensor) -> Tensor:
        ids = order[positions]
        pooled = train.new_empty((len(ids), *train.shape[1:]))
        is_train = ids < count
        pooled[is_train.to(pooled.device)] = train[ids[is_train].to(train.device)]
        unseen = held_out[(ids[~is_train] - count).to(held_out.device)]
        pooled[~is_train.to(pooled.device)] = unseen.to(pooled.device)
        return pooled

    nearest = CopyScores.of(*nearest_in_parts(generated, parts, rows=rows, norm=norm))
    weights = nearest.scores.clamp(min=_COPY).log().square()
    votes = torch.zeros(pool, dtype=torch.float64).index_add_(0, nearest.neighbours.ids, weights)
    voted = votes.nonzero()[:, 0]
    votes = votes[voted]
    true = votes[order[voted] < count].sum()

    rng = rng_for(seed, "evaluation", part="nearer/permutations")
    slack = 1e-12 * votes.sum()  # of sums in another order
    reached = 0
    step = max(1, _BLOCK // pool)
    for start in progress_bar(range(0, permutations, step), "permutations"):
        size = (min(step, permutations - start), pool if groups is None else int(groups.max()) + 1)
        keys = torch.rand(size, dtype=torch.float64, generator=rng)
        keys = keys if groups is None else keys[:, groups[order]]  # of one group all have one
        called = keys[:, voted] <= keys.kthvalue(count, dim=1, keepdim=True).values
        reached += int((called.double() @ votes >= true - slack).sum())
    return (1 + reached) / (1 + permutations)


class TrainVsHeldOut(FeatureMetric):
    """Share of generated images that are nearer to training than to held-out images.

    ``train_vs_held_out/<extractor>/{share,low,high,p_value}``: 1/2 is what chance explains, low and
    high are a 95 % interval; see `train_vs_held_out`. Give held-out images too.

    Args:
        seed: decides the draws and permutations.
    """

    sides = ("real", "generated", "held_out")

    def _measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        self.result = train_vs_held_out(
            generated, real, held_out, norm=self.extractor.norm, seed=self.seed
        )
        return self._named("train_vs_held_out", self.result, "share", "low", "high", "p_value")
