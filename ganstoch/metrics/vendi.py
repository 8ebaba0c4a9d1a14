"""The Vendi score: the effective number of different images in a set, without reference images.

[1] Friedman, Dieng 2022, "The Vendi score: a diversity evaluation metric for machine learning",
    arXiv:2210.02410. [2] Pasarkar, Dieng 2023, "Cousins of the Vendi score", arXiv:2310.12952.

With p the eigenvalues of K / N, K the cosines between N rows of features,

    score_1 = exp(- sum p log p),    score_q = (sum p^q)^(1 / (1 - q)),    score_inf = 1 / max p.

It is 1 where all rows are one direction and N where all are at right angles. With fewer features
than rows, the covariance X'X / N of unit rows has the same eigenvalues, but for zeros.
"""

import math
from typing import Unpack

import torch
from scipy.linalg import eigvalsh
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, Options
from ganstoch.metrics.neighbours.byte_search import as_rows, float64_blocks, unit_rows


def vendi_score(features: Tensor, *, q: float = 1.0) -> float:
    """The score [1, 2] of order q >= 0, in [1, N], of rows (N, F...); rows of zeros are nobody."""
    if not q >= 0:
        raise ValueError(f"q must be 0 or more, got {q}")
    (rows,) = as_rows(features=features)
    count, width = rows.shape
    if width < count:
        product = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
        for block in float64_blocks(rows):
            units = unit_rows(rows[block])
            product.addmm_(units.T, units)
    else:
        units = unit_rows(rows)
        product = units @ units.T
    values = eigvalsh(product.div_(count).cpu().numpy(), overwrite_a=True, check_finite=False)
    rounding = len(values) * torch.finfo(torch.float64).eps * values.max()
    shares = torch.from_numpy(values[values > rounding])
    if len(shares) == 0:
        raise ValueError("features are all 0")
    if q == 1:
        return float(torch.special.entr(shares).sum().exp())
    if math.isinf(q):
        return 1 / shares.max().item()
    return float(shares.pow(q).sum().pow(1 / (1 - q)))


class Vendi(FeatureMetric):
    """The Vendi score of the generated images, ``vendi/<extractor>``: larger is more varied.

    From 1 to their number, on which it depends: compare sets of one size. Real images may be given,
    and are not looked at: noise is varied too.

    Args:
        q: order, at least 0: below 1 rare kinds count more, above 1 less; `math.inf` is allowed.
    """

    sides = ("generated",)
    default_features = "inception"
    higher_is_better = True

    def __init__(
        self, features: Features = None, *, q: float = 1.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(features, **options)
        if not q >= 0:
            raise ValueError(f"q must be 0 or more, got {q}")
        self.q = q

    def _measure(self, generated: Tensor) -> dict[str, float]:
        self.result = vendi_score(generated, q=self.q)
        return {f"vendi/{self.extractor.name}": self.result}
