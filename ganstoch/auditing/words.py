"""Numbers of an audit in words: as many digits as they deserve, the same for what is compared."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["decimals", "fixed", "p_words", "percent", "percent_range", "range_words"]

_MINUS = "\N{MINUS SIGN}"
_PERCENT = "\N{NO-BREAK SPACE}%"
_EXACT = 1e15  # above it a float does not hold every whole number


def decimals(values: Iterable[float | None]) -> int | None:
    """Digits behind the point that give the largest of some values four digits in all.

    Returns:
        0 to 3; None if all are so small that powers of ten say more.
    """
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return 0
    if max(sizes) < 0.01:
        return None
    if all(size < _EXACT and float(size).is_integer() for size in sizes):
        return 0
    return min(max(3 - math.floor(math.log10(max(sizes))), 0), 3)


def fixed(value: float | None, places: int | None) -> str:
    """A number with so many decimals: ``12,800``, ``0.031``, ``1.2e-05``; "" for None."""
    if value is None:
        return ""
    text = f"{value:.3g}" if places is None else f"{value:,.{places}f}"
    if float(text.replace(",", "")) == 0.0:
        text = text.removeprefix("-")  # nothing is below zero that rounds to it
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


def range_words(low: str, high: str) -> str:
    """Both ends of an interval; an en dash between them, unless one of them is below zero."""
    return f"{low} to {high}" if _MINUS in low + high else f"{low}\N{EN DASH}{high}"


def percent_range(low: float, high: float) -> str:
    """An interval of shares, with one per cent sign: ``9.7-10.7 %``."""
    return range_words(percent(low).removesuffix(_PERCENT), percent(high))


def p_words(p_value: float | None) -> str:
    """A p-value: ``0.031``, ``< 0.0001``; "" for None."""
    if p_value is None:
        return ""
    if p_value < 1e-4:
        return "<\N{NO-BREAK SPACE}0.0001"
    return f"{p_value:.{4 if p_value < 0.01 else 3 if p_value < 0.1 else 2}f}"
