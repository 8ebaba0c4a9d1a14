"""How much of a mini-batch's gradient is signal and how much is chance, from single examples.

The signal is |g|^2, g the gradient of the loss over all examples; the noise is the trace of the
covariance of the mini-batch's gradient, that is E|g_m - g|^2. With g_i the gradients of the N
single examples and S = (1/N) sum_i |g_i - g|^2, a batch of m has the noise

* S / m, drawn with replacement;
* S / m (N - m) / (N - 1), drawn without [2], which is 0 at m = N.

A loss that is a sum of such means, of real and of generated examples, has the sum of their noises.
Signal and noise are equal where m is [1]'s critical batch size, tr(Sigma_1) / |g|^2.

[1] McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", arXiv:1812.06162,
Sec. 2.2.
[2] Cochran 1977, "Sampling Techniques", Sec. 2.3 and 2.6 (the finite population correction).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_STRETCH = 2**14  # numbers whose squares are added up before float64 takes over


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientNoise:
    """A player's signal and noise, in squares of the gradient's own unit."""

    signal: float  # squared norm of the full gradient; an unbiased estimate may fall below 0
    noise: float  # trace of the covariance of the mini-batch's gradient
    single: float  # the same of a batch of one, drawn with replacement

    @property
    def ratio(self) -> float | None:
        """Signal over noise; None unless both are above 0."""
        return self.signal / self.noise if self.signal > 0 and self.noise > 0 else None

    @property
    def critical_batch(self) -> float | None:
        """The batch, drawn with replacement, that has as much noise as signal; None without any."""
        return self.single / self.signal if self.signal > 0 and self.single >= 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the means that a loss is the sum of."""

    mean: Mapping[str, Tensor]  # its full gradient, float64 vectors by name
    noise: float  # trace of the covariance of its share of the mini-batch's gradient
    single: float  # the same of one example
    bias: float = 0.0  # what chance adds to the squared norm of ``mean`` on average


class GradientSums:
    """Mean and spread of examples' gradients, which come in blocks (Chan, Golub, LeVeque 1983).

    ``draws`` neighbours are draws of the same example, as one latent under several noises.
    """

    def __init__(self, *, draws: int = 1) -> None:
        self.draws = draws
        self.mean: dict[str, Tensor] = {}  # over all, float64 vectors by name
        self.between = 0.0  # sum over the examples of |mean of its draws - mean|^2
        self.within = 0.0  # sum over the draws of |draw - mean of the example's draws|^2
        self._counts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Examples so far, each with all its draws."""
        counts = set(self._counts.values())
        if len(counts) != 1:
            raise ValueError(f"parameters have gradients of {sorted(counts)} examples")
        return counts.pop()

    def add(self, name: str, gradients: Tensor) -> None:
        """Adds a block of one parameter's gradients, shape (M, P); they are overwritten."""
        block = gradients.view(-1, self.draws, gradients.shape[1])
        means = block[:, 0]
        if self.draws > 1:
            means = block.mean(1)
            self.within += _squares(block.sub_(means.unsqueeze(1)))
        centre = means.mean(0)
        self._merge(name, len(means), centre.double(), _squares(means.sub_(centre)))

    def add_outer(self, name: str, left: Tensor, right: Tensor) -> None:
        """Adds gradients left_i right_i^T, shapes (M, P) and (M, Q), as a linear layer's are."""
        left, right = (x.double().view(-1, self.draws, x.shape[1]) for x in (left, right))
        count = len(left)
        gram = (left @ left.mT) * (right @ right.mT)  # of the draws of each example
        squares = float(gram.sum()) / self.draws**2
        if self.draws > 1:
            self.within += float(gram.diagonal(dim1=1, dim2=2).sum()) - self.draws * squares
        centre = left.flatten(0, 1).T @ right.flatten(0, 1) / (count * self.draws)
        spread = max(0.0, squares - count * _squares(centre))
        self._merge(name, count, centre.flatten(), spread)

    def _merge(self, name: str, count: int, centre: Tensor, spread: float) -> None:
        before = self._counts.get(name, 0)
        if before == 0:
            self.mean[name] = torch.zeros_like(centre)
        step = centre - self.mean[name]
        both = before + count
        self.between += spread + (before * count / both) * _squares(step)
        self.mean[name].add_(step, alpha=count / both)
        self._counts[name] = both


def finite(sums: GradientSums, *, size: int, share: float) -> Side:
    """The side of a finite set of which each batch takes ``size`` examples; unbiased.

    ``share`` is 1 / m with replacement, or `share_of_pieces`.
    """
    count, draws = sums.count, sums.draws
    inner = sums.within / (count * (draws - 1)) if draws > 1 else 0.0
    outer = sums.between / count - (1 - 1 / count) * inner / draws
    noise, bias = inner / size + share * outer, inner / (count * draws)
    return Side(mean=sums.mean, noise=noise, single=inner + outer, bias=bias)


def endless(sums: GradientSums, *, size: int) -> Side:
    """The side of an infinite set, of which the sums hold independent examples: an estimate."""
    if sums.draws != 1 or sums.count < 2:
        raise ValueError("a set without end needs two independent examples or more")
    single = sums.between / (sums.count - 1)
    return Side(mean=sums.mean, noise=single / size, single=single, bias=single / sums.count)


def share_of_pieces(pieces: Sequence[int], *, count: int) -> float:
    """Noise of a batch over that of one of ``count`` examples, drawn without replacement in pieces.

    These are the sizes of one part, or of the end of a shuffled epoch and the next one's beginning.
    """
    if count == 1:
        return 0.0
    return sum(p * (count - p) for p in pieces) / ((count - 1) * sum(pieces) ** 2)


def combine(sides: Sequence[Side]) -> GradientNoise:
    """A loss that is the sum of means over independent draws; all of the same parameters."""
    names = {name for side in sides for name in side.mean}
    whole = [sum(side.mean[name] for side in sides if name in side.mean) for name in sorted(names)]
    signal = sum(_squares(vector) for vector in whole if isinstance(vector, Tensor))
    return GradientNoise(
        signal=signal - sum(side.bias for side in sides),
        noise=sum(side.noise for side in sides),
        single=sum(side.single for side in sides),
    )


def _squares(x: Tensor) -> float:
    """Sum of the squares of all numbers: in their own precision over short stretches only."""
    rows = x.flatten(0, -2) if x.ndim > 1 else x.unsqueeze(0)
    stretches = torch.split(rows, _STRETCH, dim=1)
    norms = torch.stack([torch.linalg.vector_norm(each, dim=1) for each in stretches])
    return float(norms.double().square().sum())
