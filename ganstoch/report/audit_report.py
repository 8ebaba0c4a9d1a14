"""Numbers and histograms of a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Histogram", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One measure.

    Attributes:
        value: of the generated images.
        baseline: the same with held-out real images in their place; None where there are none, or
            where the measure compares with them already.
        low: lower end of the 95 % interval of the value, if one is known.
        high: its upper end.
        p_value: of the hypothesis that there is nothing to see, if it was tested.
        wanted: what a good generator has: a low value, a high one, or one like the baseline's.
        meaning: in one short sentence, for a reader who has not met the measure.
    """

    value: float
    wanted: Literal["low", "high", "baseline"]
    meaning: str
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts of several series over the same bins.

    Attributes:
        title: what was counted.
        unit: of the edges.
        edges: of the bins, ascending, one more than there are counts.
        counts: of each series by its name in words, e.g. "generated", "held out".
    """

    title: str
    unit: str
    edges: tuple[float, ...]
    counts: dict[str, tuple[int, ...]]
