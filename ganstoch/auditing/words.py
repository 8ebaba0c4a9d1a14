"""Numbers of an audit in words: as many digits as they deserve, the same for what is compared."""

from __future__ import annotations

import math

from ganstoch.auditing.report import Measure

_MINUS = "\N{MINUS SIGN}"
_PERCENT = "\N{NO-BREAK SPACE}%"
_EXACT = 1e15  # above it a float does not hold every whole number


def fixed(*values: float | None) -> list[str]:
    """Numbers with as many decimals as give the largest four digits: ``31.21``, ``12,800``.

    All are powers of ten, ``1.2e-05``, if all are below 0.01; None is "".
    """
    sizes = [abs(value) for value in values if value]
    largest = max(sizes, default=0.0)
    if all(size < _EXACT and float(size).is_integer() for size in sizes):
        spec = ",.0f"
    elif largest < 0.01:
        spec = ".3g"
    else:
        spec = f",.{min(max(3 - math.floor(math.log10(largest)), 0), 3)}f"
    return ["" if value is None else _signed(f"{value:{spec}}") for value in values]


def _signed(text: str) -> str:
    if float(text.replace(",", "")) == 0.0:
        return text.removeprefix("-")  # nothing is below zero that rounds to it
    return text.replace("-", _MINUS, 1) if text.startswith("-") else text


def percent(share: float) -> str:
    """A share of a whole: ``10.2 %``, ``0.31 %``; never a 0 or 100 that was only rounded to it."""
    value = 100 * share
    for limit, places in ((0.1, 3), (1.0, 2)):
        if 0 < value < limit:
            return f"{value:.{places}f}{_PERCENT}" if value >= 0.001 else f"<0.001{_PERCENT}"
    if 99.95 <= value < 100:
        return f">99.9{_PERCENT}"
    return f"{value:.1f}{_PERCENT}" if value not in (0, 100) else f"{value:.0f}{_PERCENT}"


def percent_range(low: float, high: float) -> str:
    """An interval of shares, with one per cent sign: ``9.7-10.7 %``."""
    return f"{percent(low).removesuffix(_PERCENT)}\N{EN DASH}{percent(high)}"


def p_words(p_value: float | None) -> str:
    """A p-value: ``0.031``, ``< 0.0001``; "" for None."""
    if p_value is None:
        return ""
    if p_value < 1e-4:
        return "<\N{NO-BREAK SPACE}0.0001"
    return f"{p_value:.{4 if p_value < 0.01 else 3 if p_value < 0.1 else 2}f}"


def measure_cells(measure: Measure) -> list[str]:
    """Value, baseline, 95 % interval and p-value, as the terminal and the page show them."""
    value, baseline, low, high = fixed(measure.value, measure.baseline, measure.low, measure.high)
    between = " to " if _MINUS in low + high else "\N{EN DASH}"
    interval = f"{low}{between}{high}" if low else ""
    return [value, baseline, interval, p_words(measure.p_value)]
