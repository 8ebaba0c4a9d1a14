"""The table of measures of a page: a value beside its baseline, in numbers and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganstoch.report.audit_report import Reading
from ganstoch.report.inline_plots import Marker, marker
from ganstoch.report.page_words import decimals, fixed, metric_words, p_words, range_words

__all__ = ["Measures", "measures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of the table; an empty text where there is no number."""

    name: str
    meaning: str
    value: str
    baseline: str
    interval: str
    p_value: str
    wanted: str
    marker: Marker


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The table.

    Attributes:
        lines: its lines.
        value: heading of the values, e.g. "Generated".
        baseline: heading of the baselines, e.g. "Held out"; empty where no line has one.
        baseline_words: what the baseline is, in words.
        intervals: whether a line has one.
        tests: whether a line has a p-value.
        wanted: whether the column of what is wanted is shown.
    """

    lines: tuple[_Line, ...]
    value: str
    baseline: str
    baseline_words: str
    intervals: bool
    tests: bool
    wanted: bool


def measures(
    readings: Sequence[tuple[str, Reading]],
    *,
    value: str,
    baseline: str,
    baseline_words: str,
    wanted: bool = True,
) -> Measures:
    """Puts readings into a table; the numbers of a line have equally many decimals.

    Args:
        readings: names as in a report, e.g. ``overfitting/pixel_l1/mean``, with their readings.
        value: heading of the values.
        baseline: heading of the baselines.
        baseline_words: what the baseline is, in words.
        wanted: whether to say what a good generator has.
    """
    return Measures(
        lines=tuple(_line(name, reading, baseline=baseline) for name, reading in readings),
        value=value,
        baseline=baseline if any(r.baseline is not None for _, r in readings) else "",
        baseline_words=baseline_words,
        intervals=any(reading.low is not None for _, reading in readings),
        tests=any(reading.p_value is not None for _, reading in readings),
        wanted=wanted,
    )


def _line(name: str, reading: Reading, *, baseline: str) -> _Line:
    low, high = reading.low, reading.high
    numbers = [reading.value, reading.baseline, low, high]
    places = decimals(number for number in numbers if number is not None)
    interval = ""
    if low is not None and high is not None:
        interval = range_words(fixed(low, places), fixed(high, places))
    return _Line(
        name=metric_words(name),
        meaning=reading.meaning,
        value=fixed(reading.value, places),
        baseline="" if reading.baseline is None else fixed(reading.baseline, places),
        interval=interval,
        p_value="" if reading.p_value is None else p_words(reading.p_value),
        wanted=f"as {baseline.lower()}" if reading.wanted == "baseline" else reading.wanted,
        marker=marker(reading.value, baseline=reading.baseline, low=low, high=high),
    )
