"""Kernel distance between two sets of features: KID where the features are Inception's.

[1] Binkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401, Sec. 4.
[2] Gretton et al. 2012, "A Kernel Two-Sample Test", JMLR 13, Lemma 6.

With k(a, b) = (a.b / F + 1)^3 for rows of F features, the unbiased estimate of the squared maximum
mean discrepancy is

    mean of k over pairs x, x' of different rows of the one set
    + mean of k over pairs y, y' of different rows of the other
    - 2 mean of k over all pairs x, y.
"""

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, MeanSd, Options
from ganstoch.metrics.neighbours.byte_search import as_rows
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for, without_replacement

_BLOCK_ELEMENTS = 2**22  # in one float64 block of features, and of kernel values: 32 MiB each


def kernel_distance(real: Tensor, generated: Tensor) -> float:
    """Unbiased squared MMD [2] of rows (N, F) and (M, F) by the cubic kernel of [1], in float64."""
    real, generated = as_rows(real=real, generated=generated)
    n, m = len(real), len(generated)
    if min(n, m) < 2:
        raise ValueError(f"needs at least 2 rows a side, got {n} and {m}")
    rows = max(1, min(_BLOCK_ELEMENTS // real.shape[1], int(_BLOCK_ELEMENTS**0.5)))
    x, y = torch.split(real, rows), torch.split(generated, rows)
    within = _sum_within(x) / (n * (n - 1)) + _sum_within(y) / (m * (m - 1))
    distance = within - 2 * (_sum_between(x, y) / (n * m))
    if not math.isfinite(distance):
        raise ValueError("values too large: their kernel overflows; rescale them")
    return distance


def kernel_distance_of_subsets(
    real: Tensor, generated: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> MeanSd:
    """`kernel_distance` between random subsets of ``size`` rows, as torch-fidelity's KID [1]."""
    if subsets < 1 or not 2 <= size <= min(len(real), len(generated)):
        raise ValueError(
            f"needs 1 or more subsets of 2 rows up to all, got {subsets} of {size} from "
            f"{len(real)} and {len(generated)}"
        )
    rng = rng_for(seed, "evaluation", part="kernel distance")
    values = []
    for _ in progress_bar(range(subsets), "KID subsets"):
        ours = without_replacement(len(real), size, rng).to(real.device)
        theirs = without_replacement(len(generated), size, rng).to(generated.device)
        values.append(kernel_distance(real[ours], generated[theirs]))
    return MeanSd.of(values)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).div_(x.shape[1]).add_(1.0).pow_(3)


def _sum_within(blocks: Sequence[Tensor]) -> float:
    """Sum over pairs of different rows, each pair in both orders."""
    total = 0.0
    for i, block in enumerate(progress_bar(blocks, "kernel within a set")):
        x = block.to(torch.float64)
        diagonal = x.square().sum(dim=1).div_(x.shape[1]).add_(1.0).pow_(3).sum()
        total += (_kernel(x, x).sum() - diagonal).item()
        for other in blocks[i + 1 :]:
            total += 2 * _kernel(x, other.to(torch.float64)).sum().item()
    return total


def _sum_between(blocks: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    total = 0.0
    for block in progress_bar(blocks, "kernel between sets"):
        x = block.to(torch.float64)
        for other in others:
            total += _kernel(x, other.to(x.device, torch.float64)).sum().item()
    return total


class KID(FeatureMetric):
    """Kernel distance [1], ``kid/<extractor>``: 0 in expectation for sets drawn alike.

    ``kid/<extractor>/{subset_mean,subset_sd}`` are over random subsets, as others print it.

    Args:
        subsets: number of pairs of subsets.
        subset_size: images in each, from 2 to as many as the smaller side has.
        seed: decides which images are in the subsets.
    """

    default_features = "inception"
    higher_is_better = False

    def __init__(
        self,
        features: Features = None,
        *,
        subsets: int = 100,
        subset_size: int = 1000,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(features, **options)
        self._at_least(1, subsets=subsets)
        self._at_least(2, subset_size=subset_size)
        self.subsets, self.subset_size = subsets, subset_size

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = kernel_distance_of_subsets(
            real, generated, subsets=self.subsets, size=self.subset_size, seed=self.seed
        )
        key, (mean, sd) = f"kid/{self.extractor.name}", self.result
        distance = kernel_distance(real, generated)
        return {key: distance, f"{key}/subset_mean": mean, f"{key}/subset_sd": sd}
