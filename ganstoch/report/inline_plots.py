"""Drawings inside a page, as SVG: histograms, curves, and a value beside its baseline.

Shapes are in a square of 100 by 100 that the page stretches over its place, so that lines keep
their width and words stay as large as all others at any size of screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ganstoch.report.audit_report import Histogram
from ganstoch.report.page_words import decimals, fixed
from ganstoch.report.words import PERCENT

__all__ = ["Line", "Marker", "Plot", "Tick", "curves", "histogram", "marker"]


@dataclass(frozen=True, slots=True)
class Tick:
    """A word on an axis, ``at`` percent of its length."""

    at: float
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series.

    Attributes:
        name: in words.
        path: of its outline, as in SVG; empty where there is nothing to draw.
        note: what else there is to say of it, in a few words.
    """

    name: str
    path: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A drawing with its axes.

    Attributes:
        lines: the series; the page draws the first as an area.
        x: ticks from left to right.
        y: ticks from bottom to top.
        x_name: what is on the axis, with its unit.
        y_name: the same.
        words: what a reader sees who cannot see the drawing.
        level: height of a horizontal line in percent, or None.
    """

    lines: tuple[Line, ...]
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    x_name: str
    y_name: str
    words: str
    level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Where a value lies on a line with what it is compared with, in percent of its length."""

    value: float
    baseline: float | None
    low: float | None
    high: float | None
    zero: float


def marker(
    value: float, *, baseline: float | None, low: float | None = None, high: float | None = None
) -> Marker:
    """Places a value, its baseline and its interval on a line that holds them all, and zero."""
    shown = [0.0, value, *(number for number in (baseline, low, high) if number is not None)]
    least, most = min(shown), max(shown)
    margin = 0.06 * (most - least) or 1.0
    # Zero is an end of the line, if it is one, and everything else keeps away from the ends.
    start, end = least - margin * (least < 0), most + margin * (most > 0 or most == least)

    def place(number: float | None) -> float | None:
        return None if number is None else round(100 * (number - start) / (end - start), 2)

    at, zero = place(value), place(0.0)
    assert at is not None
    assert zero is not None
    return Marker(value=at, baseline=place(baseline), low=place(low), high=place(high), zero=zero)


def histogram(counted: Histogram) -> Plot:
    """Several series of a histogram over each other, each as a share of its own images."""
    edges = counted.edges
    widths = [right - left for left, right in pairwise(edges)]
    typical = (edges[-1] - edges[0]) / len(widths)
    # Where bins differ in width the area is the share, not the height.
    even = all(math.isclose(width, typical, rel_tol=1e-6) for width in widths)
    heights = {
        name: [count / total * typical / width for count, width in zip(counts, widths, strict=True)]
        for name, counts in counted.counts.items()
        if (total := sum(counts))
    }
    top = max((max(each) for each in heights.values()), default=0.0) or 1.0
    places = [100 * (edge - edges[0]) / (edges[-1] - edges[0]) for edge in edges]
    lines = []
    for name, counts in counted.counts.items():
        note = f"{sum(counts):,}" + (
            f", median about {_median(edges, counts)}" if sum(counts) else ""
        )
        lines.append(Line(name=name, path=_steps(places, heights.get(name, ()), top), note=note))
    unit = f" ({counted.unit})" if counted.unit else ""
    return Plot(
        lines=tuple(lines),
        x=_ticks(edges[0], edges[-1]),
        y=_shares(top) if even else (),
        x_name=counted.unit,
        y_name="share of the images" if even else "density of the images",
        words=f"{counted.title}{unit}: " + "; ".join(f"{each.name} {each.note}" for each in lines),
    )


def curves(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    x_name: str,
    y_name: str,
    level: float | None = None,
) -> Plot:
    """Series of (x, y) over one pair of axes; the vertical one starts at zero or below.

    Args:
        series: names and points; at least one point in all.
        x_name: what is on the horizontal axis.
        y_name: what is on the vertical axis.
        level: a value to compare with, drawn across.
    """
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points] + ([] if level is None else [level])
    left, right = min(xs), max(xs)
    low, high = min(0.0, *ys), max(0.0, *ys) or 1.0
    across, up = (right - left) or 1.0, 1.05 * (high - low)
    lines = []
    for name, points in series:
        places = [(100 * (x - left) / across, 100 - 100 * (y - low) / up) for x, y in points]
        path = "L".join(f"{x:.2f} {y:.2f}" for x, y in places)
        last = fixed(points[-1][1], decimals([points[-1][1]])) if points else ""
        lines.append(Line(name=name, path=f"M{path}" if path else "", note=f"ends at {last}"))
    return Plot(
        lines=tuple(lines),
        x=_ticks(left, left + across),
        y=_ticks(low, low + up, about=4),
        x_name=x_name,
        y_name=y_name,
        words=f"{y_name} over {x_name}: " + "; ".join(f"{each.name} {each.note}" for each in lines),
        level=None if level is None else 100 - 100 * (level - low) / up,
    )


def _steps(places: Sequence[float], heights: Sequence[float], top: float) -> str:
    """The outline of a histogram's bars, closed along the axis."""
    if not heights:
        return ""
    corners = [f"M{places[0]:.2f} 100"]
    for (left, right), height in zip(pairwise(places), heights, strict=True):
        y = 100 - 100 * height / (1.05 * top)
        corners += [f"L{left:.2f} {y:.2f}", f"L{right:.2f} {y:.2f}"]
    return "".join([*corners, f"L{places[-1]:.2f} 100Z"])


def _median(edges: Sequence[float], counts: Sequence[int]) -> str:
    """The median, as if a bin's images were spread evenly over it."""
    half, passed = sum(counts) / 2, 0.0
    for (left, right), count in zip(pairwise(edges), counts, strict=True):
        if count and passed + count >= half:
            value = left + (right - left) * (half - passed) / count
            places = decimals([value])
            return fixed(value, max(places - 1, 0) if places else places)
        passed += count
    raise AssertionError("a histogram with counts has a median")


def _ticks(low: float, high: float, *, about: int = 5) -> tuple[Tick, ...]:
    """Round numbers between two others."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    places = max(-math.floor(math.log10(step) + 1e-9), 0) + (step / power == 2.5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(
        Tick(
            at=round(100 * (number * step - low) / (high - low), 2),
            word=_round(number, step, places),
        )
        for number in range(first, last + 1)
    )


def _round(number: int, step: float, places: int) -> str:
    return fixed(number * step, places) if places <= 6 else fixed(number * step, None)


def _shares(top: float) -> tuple[Tick, ...]:
    return tuple(
        Tick(at=each.at, word=f"{each.word}{PERCENT}") for each in _ticks(0.0, 105 * top, about=4)
    )
