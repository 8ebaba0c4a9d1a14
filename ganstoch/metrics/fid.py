"""Frechet distance between two sets of features: FID where the features are Inception's.

[1] Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium", arXiv:1706.08500, Eq. 6: with means m and covariances S,

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2).

The last trace is the sum of the singular values of A1' A2, with each S = A A': eigenvalues of S1 S2
would be roots of rounding with fewer images than features.
"""

from dataclasses import dataclass

import torch
from scipy.linalg import eigvalsh, lapack
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.neighbours.byte_search import as_rows, float64_blocks, mean_row

_OFF = 64  # units of rounding that an eigenvalue may be off by
_PRECISE = 1e-10  # error of the last trace, relative, that is taken for a sixth of the time


@dataclass(frozen=True, slots=True)
class GaussianStats:
    """Mean (F,) and covariance (F, F) of ``count`` rows, float64, unbiased."""

    mean: Tensor
    covariance: Tensor
    count: int

    @classmethod
    def of(cls, features: Tensor) -> "GaussianStats":
        """Of rows (N, F), uint8, float32 or float64, in float64, in two passes of blocks."""
        (rows,) = as_rows(features=features)
        mean = mean_row(rows)
        scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=rows.device)
        for block in float64_blocks(rows):
            centred = rows[block].double() - mean
            scatter.addmm_(centred.T, centred)
        if not scatter.isfinite().all():
            raise ValueError("values too large: their squares overflow; rescale them")
        return cls(mean, scatter / max(1, len(rows) - 1), len(rows))


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Squared Frechet distance [1] of two sets of features, (N, F) and (M, F), 2 rows or more."""
    return frechet_from_stats(GaussianStats.of(real), GaussianStats.of(generated))


def frechet_from_stats(real: GaussianStats, generated: GaussianStats) -> float:
    """`frechet_distance`, from moments alone."""
    if real.mean.shape != generated.mean.shape:
        raise ValueError(f"{len(real.mean)} features a row against {len(generated.mean)}")
    if min(real.count, generated.count) < 2:
        raise ValueError(f"needs at least 2 rows a side, got {real.count} and {generated.count}")
    shift = (real.mean.cpu() - generated.mean.cpu()).square().sum()
    spread = real.covariance.trace().cpu() + generated.covariance.trace().cpu()
    overlap = _overlap(*sorted((real, generated), key=lambda side: side.count))
    return max(0.0, float(shift + spread - 2 * overlap))  # below 0 by rounding only


def _overlap(few: GaussianStats, many: GaussianStats) -> Tensor:
    """The last trace: roots of the eigenvalues of A1' S2 A1 where rounding lets them."""
    factor = _factor(few.covariance)
    if factor.numel() == 0:  # one image again and again
        return factor.sum()
    squared = factor.T @ (many.covariance.cpu() @ factor)
    eigenvalues = torch.from_numpy(eigvalsh(squared.numpy(), check_finite=False))
    values = eigenvalues.clamp(min=0).sqrt()
    # An eigenvalue is off by some units of the largest one's rounding, to either side, and its root
    # by that over twice the root; roots of what rounding may have made of 0 are all too large.
    off = _OFF * torch.finfo(values.dtype).eps * eigenvalues.max()
    lost = eigenvalues <= off
    error = (off / (2 * values[~lost])).norm() + lost.sum() * (2 * off).sqrt()
    if error > _PRECISE * values.sum():
        values = torch.linalg.svdvals(factor.T @ _factor(many.covariance))
    total: Tensor = values.sum()
    return total


def _factor(covariance: Tensor) -> Tensor:
    """A with A A' = covariance, shape (F, rank): Cholesky with pivots, which stops at the rank."""
    packed, pivots, rank, info = lapack.dpstrf(covariance.cpu().numpy(), lower=1)
    assert info >= 0, info  # above 0 it only says that the rank is not full
    lower = torch.from_numpy(packed).tril()[:, :rank]
    factor = torch.empty_like(lower)
    factor[torch.from_numpy(pivots).long() - 1] = lower
    return factor


class FID(FeatureMetric):
    """Frechet distance between real and generated images [1], ``fid/<extractor>``.

    Only ``fid/inception_l2`` of as many images compares with published numbers. In DINOv2's space
    it is FD-DINOv2 of Stein et al. 2023, arXiv:2306.04675.
    """

    default_features = "inception"
    higher_is_better = False

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = frechet_distance(real, generated)
        return {f"fid/{self.extractor.name}": self.result}
