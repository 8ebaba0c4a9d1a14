"""How many different images a generator makes, by the birthday paradox.

[1] Arora and Zhang 2017, "Do GANs actually learn the distribution?", arXiv:1706.08224, Sec. 2.

Among s draws from N equally likely things two are the same with probability

    p(s) = 1 - (1 - 1/N) (1 - 2/N) .. (1 - (s - 1)/N)  =~  1 - exp(-s (s - 1) / (2 N)).

[1] lets a person decide whether the nearest pair of a batch is the same image. Ours: it is, if it
lies nearer than real images do in batches of the same size (`calibrate`).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ganstoch.rng import rng_for, without_replacement

_Z = 1.96  # of the standard normal distribution, 95 % lie within
_AT_ONCE = 1000  # images of which all distances are kept, 8 MiB


class Support(NamedTuple):
    """How many different things draws come from; extrapolated if the probability is below 1/2."""

    size: int  # draws in a batch, s
    probability: float  # share of the batches of that size with a collision, in [0, 1]
    estimate: float  # N; infinite where no batch had a collision
    low: float  # ends of the 95 % interval of N
    high: float  # infinite where the probability may be 0


def calibrate(
    real: Tensor, *, size: int, repeats: int = 200, quantile: float = 0.05, seed: int = 0
) -> float:
    """Distance below which a share ``quantile`` of batches of real images (R, F) hold a pair."""
    return _calibrate(_Batches(real), size=size, repeats=repeats, quantile=quantile, seed=seed)


def collisions(
    features: Tensor, *, size: int, threshold: float, repeats: int = 200, seed: int = 0
) -> float:
    """Share of random batches of images (M, F) whose nearest pair lies within the threshold."""
    batches = _Batches(features)
    return _collisions(batches, size=size, threshold=threshold, repeats=repeats, seed=seed)


def estimate_support(
    features: Tensor,
    *,
    real: Tensor | None = None,
    threshold: float = 0.0,
    repeats: int = 200,
    seed: int = 0,
) -> Support:
    """How many different images a generator makes, from features (M, F): up to about M^2 / 2.

    The smallest batch size s at which half of the batches hold a collision is searched for; their
    share p and its interval (Wilson 1927) give N and its interval. Large batches share most of
    their pairs, so at most (M / s)^2 of them are taken to be independent. Real images (R, F)
    `calibrate` each size of at most R / 5; without them the threshold is a distance.
    """
    batches, usual = _Batches(features), None if real is None else _Batches(real)

    def share(size: int) -> float:
        near = threshold
        if usual is not None:
            near = _calibrate(usual, size=size, repeats=repeats, seed=seed)
        return _collisions(batches, size=size, threshold=near, repeats=repeats, seed=seed)

    most = len(features) if real is None else min(len(features), len(real) // 5)
    if most < 2:
        raise ValueError("expected at least 2 images, and 10 real ones if any")
    low = high = 2
    p = share(high)
    while p < 0.5 and high < most:
        low, high = high + 1, min(2 * high, most)
        p = share(high)
    while p >= 0.5 and low < high:
        middle = (low + high) // 2
        q = share(middle)
        if q >= 0.5:
            high, p = middle, q
        else:
            low = middle + 1
    shares = p, *reversed(_wilson(p, min(repeats, (len(features) / high) ** 2)))
    return Support(high, p, *(_support(each, size=high) for each in shares))


def collision_metrics(
    features: Tensor, real: Tensor, *, size: int, repeats: int = 100
) -> dict[str, float]:
    """``collision`` and, if finite, ``support`` of images (M, F); real ones (R, F) calibrate."""
    generated, real = features.float(), real.float().cpu()
    threshold = calibrate(real, size=size, repeats=repeats)
    probability = collisions(generated, size=size, threshold=threshold, repeats=repeats)
    support = estimate_support(generated, real=real, repeats=repeats).estimate
    metrics = {"collision": probability, "support": support}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _apart(features: Tensor) -> Tensor:
    rows = features.double()
    # The expanded square would give copies a distance above 0.
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.fill_diagonal_(torch.inf)


class _Batches:
    """Random batches of images (M, F), of which all distances are computed once, if they fit."""

    def __init__(self, features: Tensor) -> None:
        self._features = features
        self._apart = _apart(features).cpu() if len(features) <= _AT_ONCE else None

    def nearest(self, *, size: int, repeats: int, seed: int, part: str) -> Tensor:
        """Distances of the nearest pairs of random batches, float64, shape (repeats,)."""
        count = len(self._features)
        if not 2 <= size <= count:
            raise ValueError(f"size must be 2 .. {count}, got {size}")
        part = f"birthday/{part}/{size}"
        rngs = (rng_for(seed, "evaluation", i, part=part) for i in range(repeats))
        drawn = (without_replacement(count, size, rng) for rng in rngs)
        if self._apart is not None:
            return torch.stack([self._apart[ids][:, ids].min() for ids in drawn])
        rows = (self._features[ids.to(self._features.device)] for ids in drawn)
        return torch.stack([_apart(batch).min().cpu() for batch in rows])


def _calibrate(
    batches: _Batches, *, size: int, repeats: int, quantile: float = 0.05, seed: int
) -> float:
    nearest = batches.nearest(size=size, repeats=repeats, seed=seed, part="calibrate")
    return nearest.quantile(quantile).item()


def _collisions(
    batches: _Batches, *, size: int, threshold: float, repeats: int, seed: int
) -> float:
    nearest = batches.nearest(size=size, repeats=repeats, seed=seed, part="collide")
    return (nearest <= threshold).double().mean().item()


def _support(p: float, *, size: int) -> float:
    """N at which batches of a size hold a collision with probability p, not rounded."""
    if p <= 0:
        return math.inf
    if p >= 1:
        return size - 1.0
    # x <= -ln(1 - x) <= x / (1 - x) puts N between the approximation and s - 1 more.
    low = size * (size - 1) / (-2 * math.log1p(-p))
    high = low + size - 1
    others = torch.arange(1, size, dtype=torch.float64)
    for _ in range(60):
        middle = (low + high) / 2
        free = torch.log1p(-(others / middle).clamp(max=1)).sum().item()  # ln(1 - p(s))
        low, high = (low, middle) if free > math.log1p(-p) else (middle, high)
    return (low + high) / 2


def _wilson(p: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share p of ``count`` (Wilson 1927)."""
    shrink = 1 + _Z**2 / count
    centre = (p + _Z**2 / (2 * count)) / shrink
    margin = _Z / shrink * math.sqrt(p * (1 - p) / count + _Z**2 / (4 * count**2))
    # At 0 and 1 one end is there too, but for rounding.
    return (0.0 if p == 0 else centre - margin), (1.0 if p == 1 else centre + margin)
