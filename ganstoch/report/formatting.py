"""Numbers and settings in words: the same in every table, figure and page."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ganstoch.errors import visible

PERCENT = "\N{NO-BREAK SPACE}%"
DASH = "\N{EM DASH}"
_EN_DASH = "\N{EN DASH}"
_WIDTH = 100  # columns of a terminal


def cell(text: str) -> str:
    """A cell of a CSV file, kept from being run as a formula by a spreadsheet."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """Text in lines of at most 100 columns."""
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest)


def render_page(folder: Path, **values: Any) -> str:
    """The page of a folder's template; names are escaped, invisible characters shown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),  # here is the common look
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(values) + "\n"


def enumerate_words(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def share(n: int, m: int) -> str:
    """The mini-batch as a share of n: ``n``, ``n/4``, ``n/3.5``."""
    ratio = n / m
    return "n" if n == m else f"n/{ratio:.0f}" if ratio >= 100.0 else f"n/{ratio:.3g}"


def setting_words(row: Any, *, size: bool = True) -> str:
    """A row's name: ``m = 64 (n/4), noise 0.5``, without ``size`` ``m = n/4``; a bank if not n."""
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
    """A wall time in two units at most: ``12 s``, ``3 min 20 s``, ``1 h 12 min``, ``3 days``."""
    if round(seconds) == 0:
        return f"{seconds:.1f} s"
    size, base, units = 1, 60, ("min", "s")
    if round(seconds) >= 2 * 86400:
        size, base, units = 3600, 24, ("days", "h")
    elif round(seconds) >= 3600:
        size, base, units = 60, 60, ("h", "min")
    counts = divmod(round(seconds / size), base)
    return " ".join(f"{n} {unit}" for n, unit in zip(counts, units, strict=True) if n)
