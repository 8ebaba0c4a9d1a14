"""Intervals of medians, as wide as an audit's verdict needs them."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["STRICT", "STRICT_LEVEL", "USUAL", "median_interval"]

USUAL = 1.96
"""Standard errors of a 95 % interval: what is reported."""

STRICT = 3.29
"""Of a 99.9 % interval: what a verdict rests on, for an audit looks at many things at once."""

STRICT_LEVEL = 0.999


def median_interval(values: Tensor, *, z: float = USUAL) -> tuple[float, float, float]:
    """The median and its interval, by order statistics, whatever the distribution.

    The number of values below the median is binomial with p = 1/2, so the median lies between the
    values of rank n/2 -+ z sqrt(n)/2.
    """
    rising = values.sort().values
    n = len(rising)
    reach = z * math.sqrt(n) / 2
    low = max(0, math.floor(n / 2 - reach))
    high = min(n - 1, math.ceil(n / 2 + reach))
    middle = rising.quantile(0.5).item() if n < 2**24 else rising[n // 2].item()
    return middle, rising[low].item(), rising[high].item()
