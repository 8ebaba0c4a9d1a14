"""Numbers and settings in words: the same in every table, figure and page."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "DASH",
    "PERCENT",
    "cell",
    "decimals",
    "duration",
    "enumerate_words",
    "fixed",
    "memory",
    "metric_words",
    "p_words",
    "percent",
    "percent_range",
    "range_words",
    "setting_words",
    "share",
    "span",
    "wrapped",
]

PERCENT = "\N{NO-BREAK SPACE}%"
DASH = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
_EN_DASH = "\N{EN DASH}"
_EXACT = 1e15  # above it a float does not hold every whole number
_WIDTH = 100  # columns of a terminal


def cell(text: str) -> str:
    """A cell of a CSV file, kept from being run as a formula by a spreadsheet."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """Text in lines of at most 100 columns."""
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest)


def enumerate_words(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def share(n: int, m: int) -> str:
    """The mini-batch as a share of n: ``n``, ``n/4``, ``n/3.5``."""
    ratio = n / m
    return "n" if n == m else f"n/{ratio:.0f}" if ratio >= 100.0 else f"n/{ratio:.3g}"


def setting_words(row: Any, *, size: bool = True) -> str:
    """A row's name: ``m = 64 (n/4), noise 0.5``; the bank where it is not the paper's, k = n.

    Args:
        row: with n, m, noise, bank (NaN for fresh latents) and remedy.
        size: whether the name has m itself; ``m = n/4`` otherwise.
    """
    ratio = share(row.n, row.m)
    words = [f"m = {row.m:,} ({ratio})" if size else f"m = {ratio}"]
    if row.noise:
        words.append(f"noise {row.noise:g}")
    if row.bank != row.n:
        words.append("fresh z" if math.isnan(row.bank) else f"k = {row.bank:,.0f}")
    return ", ".join(words)


def span(values: Sequence[float]) -> str:
    """A whole number, or the range of several that differ: ``1,200`` or ``800-1,200``."""
    low, high = (f"{round(value):,}" for value in (min(values), max(values)))
    return low if low == high else f"{low}{_EN_DASH}{high}"


def duration(seconds: float) -> str:
    """A wall time in two units at most: ``12 s``, ``3 min 20 s``, ``1 h 12 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def decimals(values: Iterable[float]) -> int | None:
    """Digits behind the point that give the largest of some values four digits in all.

    Returns:
        0 to 3; None if all are so small that powers of ten say more.
    """
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return 0
    if max(sizes) < 0.01:
        return None
    if all(size.is_integer() and size < _EXACT for size in map(float, sizes)):
        return 0
    return min(max(3 - math.floor(math.log10(max(sizes))), 0), 3)


def fixed(value: float, places: int | None) -> str:
    """A number with as many decimals as `decimals` chose: ``12,800``, ``0.031``, ``1.2e-05``."""
    text = f"{value:.3g}" if places is None else f"{value:,.{places}f}"
    if float(text.replace(",", "")) == 0.0:
        text = text.removeprefix("-")  # nothing is below zero that rounds to it
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def percent(share: float) -> str:
    """A share of a whole: ``10.2 %``, ``0.31 %``; never a 0 or 100 that was only rounded to it."""
    value = 100 * share
    for limit, places in ((0.1, 3), (1.0, 2)):
        if 0 < value < limit:
            return f"{value:.{places}f}{PERCENT}" if value >= 0.001 else f"<0.001{PERCENT}"
    if 99.95 <= value < 100:
        return f">99.9{PERCENT}"
    return f"{value:.1f}{PERCENT}" if value not in (0, 100) else f"{value:.0f}{PERCENT}"


def range_words(low: str, high: str) -> str:
    """Both ends of an interval; an en dash between them, unless one of them is below zero."""
    return f"{low} to {high}" if MINUS in low + high else f"{low}{_EN_DASH}{high}"


def percent_range(low: float, high: float) -> str:
    """An interval of shares, with one per cent sign: ``9.7-10.7 %``."""
    return range_words(percent(low).removesuffix(PERCENT), percent(high))


def p_words(p_value: float) -> str:
    """A p-value: ``0.031``, ``< 0.0001``."""
    if p_value < 1e-4:
        return "<\N{NO-BREAK SPACE}0.0001"
    return (
        f"{p_value:.4f}"
        if p_value < 0.01
        else f"{p_value:.3f}"
        if p_value < 0.1
        else (f"{p_value:.2f}")
    )


def memory(size: int) -> str:
    """Bytes as ``512 MiB`` or ``1.4 GiB``."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def metric_words(name: str) -> str:
    """``overfitting/pixel_l1/mean`` as ``overfitting, pixel l1, mean``."""
    return ", ".join(part for part in name.replace("_", " ").split("/") if part)
