"""CMMD: the maximum mean discrepancy of CLIP embeddings.

[1] Jayasumana, Ramalingam, Veit, Glasner, Chakrabarti, Kumar 2024, "Rethinking FID: towards a
    better evaluation metric for image generation", arXiv:2401.09603.

With k(a, b) = exp(-|a - b|^2 / (2 sigma^2)), sigma = 10, on embeddings of unit length,

    CMMD = 1000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)),

each mean over all pairs, a row with itself too: the biased estimate of the authors' program, which
is above 0 for sets drawn alike.
"""

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.neighbours.byte_search import as_rows, unit_rows
from ganstoch.metrics.progress import progress_bar

_SIGMA = 10.0
_SCALE = 1000.0
_BLOCK_ROWS = 2048


def cmmd(real: Tensor, generated: Tensor) -> float:
    """CMMD [1] of embeddings (N, F...) and (M, F...), in float64; 0 for one set given twice.

    Rows are brought to unit length, but for rows of zeros.
    """
    real, generated = as_rows(real=real, generated=generated)
    x, y = torch.split(real, _BLOCK_ROWS), torch.split(generated, _BLOCK_ROWS)
    total = 0.0
    for first, second, weight in ((x, x, 1.0), (y, y, 1.0), (x, y, -2.0)):
        pairs = sum(map(len, first)) * sum(map(len, second))
        total += weight * _kernel_sum(first, second) / pairs
    return _SCALE * total


def _kernel_sum(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> float:
    total = 0.0
    for i, rows in enumerate(progress_bar(first, "kernel of pairs")):
        a = unit_rows(rows)
        # Each pair of blocks of one set serves both orders.
        start = i if first is second else 0
        for j, others in enumerate(second[start:], start):
            b = unit_rows(others)
            lengths = a.square().sum(1)[:, None] + b.square().sum(1)
            near = (lengths.addmm_(a, b.T, alpha=-2.0) / (-2 * _SIGMA**2)).exp_().sum().item()
            total += near * (2 if first is second and j > i else 1)
    return total


class CMMD(FeatureMetric):
    """CMMD [1], ``cmmd/<extractor>``: 0 or more, smaller is better.

    Only CLIP's space compares with published numbers.
    """

    default_features = "clip"
    higher_is_better = False

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = cmmd(real, generated)
        return {f"cmmd/{self.extractor.name}": self.result}
