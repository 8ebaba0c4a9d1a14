"""FLD, the feature likelihood divergence: how likely a density around the images makes unseen ones.

[1] Jiralerspong, Bose, Gemp, Qin, Bachrach, Gidel 2023, "Feature Likelihood Divergence: evaluating
    the generalization of generative models using samples", arXiv:2302.04440.

Features are normalized to the mean and deviation of the test images. With nll the mean negative
log-likelihood a dimension by Gaussians around M generated images,

    p(x) = sum_j N(x; g_j, s_j I) / M,
    FLD  = 100 (nll(test) - nll(test) by half of the training images, fitted to the other half),
    gap  = 100 (nll(training) - nll(test)).

Variances maximize p(x) + N(0.9 (x - mean); 0, s_0 I) of the training images: the second bounds what
an image far from all costs. A copy's variance shrinks to its training image and explains no other:
the gap falls far below 0. Steps and starting values are the authors' program's, in float64.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.neighbours.byte_search import as_rows
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for

_EPOCHS = 50
_RATE = 0.5  # of Adam
_BATCH = 10_000
_MOST = 10_000  # generated images
_FLOOR = 1e-3  # added to squared distances before the first variance
_WIDE = (1 - 0.1) ** 2  # of the squared distance to the mean
_ROUNDING = 1e-9
_BLOCK_ELEMENTS = 2**16  # that stay in a core's cache, 0.5 MiB


class FLDScore(NamedTuple):
    """FLD and the generalization gap, both 0 for as good as training images; and their parts."""

    value: float  # above 0: worse than half of the training images
    gap: float  # below 0: training images are likelier than test images
    test: float  # nll a dimension
    train: float


def fld(generated: Tensor, train: Tensor, test: Tensor, *, seed: int = 0) -> FLDScore:
    """FLD [1] from features (M, F...), (N, F...) and (K, F...), 2 or more rows each.

    Features that do not vary among the test images are left out. Of more than 10,000 generated
    images a random subset is taken. Takes 8 N M bytes.
    """
    generated, train, test = as_rows(generated=generated, train=train, test=test)
    if min(map(len, (generated, train, test))) < 2:
        raise ValueError("needs at least 2 images of each set")
    rng = rng_for(seed, "evaluation", part="fld")
    if len(generated) > _MOST:
        generated = generated[torch.randperm(len(generated), generator=rng)[:_MOST]]
    order = torch.randperm(len(train), generator=rng)
    known = test.double()
    mean, sd = known.mean(0), known.std(0)
    varies = sd > 0
    if not varies.any():
        raise ValueError("all test images have the same features")
    made, seen, test = (
        ((rows.double() - mean) / sd)[:, varies] for rows in (generated, train, test)
    )
    seen = seen[order]
    log_variances = _fit(made, seen)
    of_test, of_train = (_nll(rows, made, log_variances) for rows in (test, seen))
    half = min(len(generated), len(seen) // 2)
    usual = _nll(test, seen[:half], _fit(seen[:half], seen[half:]))
    return FLDScore(100 * (of_test - usual), 100 * (of_train - of_test), of_test, of_train)


def _fit(centres: Tensor, rows: Tensor) -> Tensor:
    """Logarithms of the variances (M,), by Adam on batches of rows, in their order."""
    count, width = len(centres), rows.shape[1]
    apart = _squared(rows, centres)
    logs = torch.cat([((apart.amin(0) + _FLOOR) / width).log(), apart.new_zeros(1)])
    squares = torch.cat([apart, _WIDE * (rows - rows.mean(0)).square().sum(1, keepdim=True)], 1)
    weights = torch.cat([apart.new_full((count,), -math.log(count)), apart.new_zeros(1)])
    del apart
    first, second = torch.zeros_like(logs), torch.zeros_like(logs)
    step = 0
    for _ in progress_bar(range(_EPOCHS), "fitting FLD's variances", unit=" epochs"):
        for batch in torch.split(squares, _BATCH):
            step += 1
            slope = _gradient(batch, logs, weights, width=width)
            first.lerp_(slope, 1 - 0.9)
            second.mul_(0.999).addcmul_(slope, slope, value=1 - 0.999)
            size = (second / (1 - 0.999**step)).sqrt_().add_(1e-8)
            logs = logs - _RATE * first / (1 - 0.9**step) / size
            logs[:-1].clamp_(-40, 20)
    return logs[:-1]


def _gradient(squares: Tensor, logs: Tensor, weights: Tensor, *, width: int) -> Tensor:
    """Of the mean nll a dimension by logarithms of variances, the wide one's last (M + 1,)."""
    shares, spread = torch.zeros_like(logs), torch.zeros_like(logs)
    for block in torch.split(squares, max(1, _BLOCK_ELEMENTS // len(logs))):
        of = _log_densities(block, logs, weights, width=width).softmax(dim=1)
        shares += of.sum(0)
        spread += of.mul_(block).sum(0)
    return 0.5 * (shares - spread * (-logs).exp() / width) / len(squares)


def _log_densities(squares: Tensor, logs: Tensor, weights: Tensor, *, width: int) -> Tensor:
    constant = weights - 0.5 * width * (logs + math.log(2 * math.pi))
    return torch.addcmul(constant, squares, -0.5 * (-logs).exp())


def _nll(rows: Tensor, centres: Tensor, logs: Tensor) -> float:
    """Mean negative log-likelihood a dimension."""
    width, total, weights = rows.shape[1], 0.0, torch.zeros_like(logs)
    for some in torch.split(rows, _BATCH):
        densities = _log_densities(_squared(some, centres), logs, weights, width=width)
        total += densities.logsumexp(1).sum().item()
    return (math.log(len(centres)) - total / len(rows)) / width


def _squared(rows: Tensor, centres: Tensor) -> Tensor:
    """Squared distances (N, M), 0 for the same rows, of which products leave their rounding."""
    apart = torch.cdist(rows, centres).square_()
    return apart.masked_fill_(apart < _ROUNDING * rows.shape[1], 0.0)


class FLD(FeatureMetric):
    """FLD [1] and the generalization gap, ``fld/<extractor>/{value,gap}``. Give held-out images.

    Smaller values are better, 0 is as good as half of the training images; a gap far below 0 is
    memorization. Both depend on the sizes of the sets.

    Args:
        seed: decides the halves of the training images, and the subset of many generated ones.
    """

    sides = ("real", "generated", "held_out")
    default_features = "inception"
    higher_is_better = False

    def _measure(self, real: Tensor, generated: Tensor, held_out: Tensor) -> dict[str, float]:
        self.result = fld(generated, real, held_out, seed=self.seed)
        return self._named("fld", self.result, "value", "gap")
