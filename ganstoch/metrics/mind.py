"""MIND, the Monge Inception distance: a sliced Wasserstein distance between sets of features.

[1] Berthet, Wu, Crepy, Elie, Greff, Sander 2026, "MIND: Monge Inception Distance for generative
    models evaluation", arXiv:2605.06797.

Of as many rows x and y a side, n, with F features, along M random unit directions u,

    MIND = 3 F / (n M) sum over u, j of (sorted(u.x)_j - sorted(u.y)_j)^2.

Directions and subsets are drawn as by torch-fidelity's program, so that one seed gives its number.
"""

from typing import Unpack

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, Options
from ganstoch.metrics.neighbours.byte_search import as_rows, float64_blocks

PROJECTIONS = 1000
SEED = 2020  # of torch-fidelity
_BLOCK_ELEMENTS = 2**22  # of projected rows, 32 MiB


def mind(
    real: Tensor, generated: Tensor, *, projections: int = PROJECTIONS, seed: int = SEED
) -> float:
    """MIND [1] of features (N, F...) and (M, F...), in float64; the larger side is thinned."""
    if projections < 1:
        raise ValueError(f"projections must be at least 1, got {projections}")
    rng = torch.Generator().manual_seed(seed)
    sets = as_rows(real=real, generated=generated)
    count = min(map(len, sets))
    for i, rows in enumerate(sets):
        if len(rows) > count:
            sets[i] = rows[torch.randperm(len(rows), generator=rng)[:count].to(rows.device)]
    width = sets[0].shape[1]
    directions = torch.randn(projections, width, generator=rng)
    directions /= directions.norm(dim=1, keepdim=True).clamp_min(1e-12)
    total = 0.0
    for some in torch.split(directions, max(1, _BLOCK_ELEMENTS // count)):
        first, second = (_sorted(rows, some.double().T.to(rows.device)) for rows in sets)
        total += (first - second).square_().sum().item()
    return 3 * width * total / (count * projections)


def _sorted(rows: Tensor, directions: Tensor) -> Tensor:
    blocks = [rows[block].double() @ directions for block in float64_blocks(rows)]
    return torch.cat(blocks).T.contiguous().sort(dim=1).values.cpu()


class MIND(FeatureMetric):
    """MIND [1], ``mind/<extractor>``: 0 or more, smaller is better.

    Only ``mind/inception_l2`` compares with published numbers.

    Args:
        seed: decides the directions, and which rows of the larger side are taken.
    """

    default_features = "inception"
    higher_is_better = False

    def __init__(self, features: Features = None, **options: Unpack[Options]) -> None:
        options.setdefault("seed", SEED)
        super().__init__(features, **options)

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = mind(real, generated, seed=self.seed)
        return {f"mind/{self.extractor.name}": self.result}
