"""Numbers and settings in words, the same in every table and figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ganstoch.report.rows import Block, Row

__all__ = [
    "DASH",
    "PERCENT",
    "bank_words",
    "compact",
    "convergence",
    "duration",
    "enumerate_words",
    "row_words",
    "share",
    "span",
]

PERCENT = "\N{NO-BREAK SPACE}%"
"""A per cent sign that no line break parts from its number."""

DASH = "\N{EM DASH}"
"""Stands where the paper has no counterpart, or nothing was measured."""


def enumerate_words(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def share(n: int, m: int) -> str:
    """The mini-batch as a share of n: ``n``, ``n/4``, ``n/3.5``."""
    ratio = n / m
    return "n" if n == m else f"n/{ratio:.0f}" if ratio >= 100.0 else f"n/{ratio:.3g}"


def bank_words(row: Row) -> str:
    """The bank where it is not the paper's (k = n), else nothing: ``k = 4,096``, ``fresh z``."""
    if row.bank is None:
        return "fresh z"
    return "" if row.bank == row.n else f"k = {row.bank:,}"


def row_words(row: Row) -> str:
    """A row's name: ``m = 256 (n/4), noise 0.5``."""
    noise = f", noise {row.noise:g}" if row.noise else ""
    bank = f", {bank_words(row)}" if bank_words(row) else ""
    return f"m = {row.m:,} ({share(row.n, row.m)}){noise}{bank}"


def span(values: Sequence[int]) -> str:
    """A whole number, or the range of several that differ: ``1,200`` or ``800-1,200``."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}\N{EN DASH}{high:,}"


def compact(value: float) -> str:
    """A count to three digits, in five characters at most: ``950``, ``51.2k``, ``1.02M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """A wall time in two units at most: ``12 s``, ``3 min 20 s``, ``1 h 12 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def convergence(block: Block, row: Row) -> str:
    """How a row's seeds ended: ``2 of 3`` converged; ``cap`` if none did.

    A noisy row is trained for the iterations of its noise-free twin, so that it ends there, and
    neither by convergence nor by the cap: ``twin``.
    """
    twin = block.twin(row)
    if twin is not None:
        ends = {run.seed: run.iterations for run in twin.runs}
        if all(run.iterations == ends.get(run.seed) for run in row.runs):
            return "twin"
    return f"{row.converged} of {len(row.runs)}" if row.converged else "cap"
