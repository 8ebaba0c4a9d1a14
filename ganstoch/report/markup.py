"""Cells and lines of tables: what keeps a user's names from breaking Markdown, CSV or a line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ganstoch.report.table1 import TEXT_WIDTH

__all__ = ["cell", "escape", "line", "wrapped"]


def escape(text: str) -> str:
    """Text as Markdown prints it; names of datasets, remedies and hardware are the user's."""
    for character in "\\|`*_<>[]":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ").replace("\r", " ")


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(escape(text) for text in cells) + " |"


def cell(text: str) -> str:
    """A cell of a CSV file, kept from being run as a formula by a spreadsheet."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """Text in lines of at most `TEXT_WIDTH` columns."""
    return textwrap.wrap(text, TEXT_WIDTH, initial_indent=first, subsequent_indent=rest)
