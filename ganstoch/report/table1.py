"""Table 1 to be read: Markdown for a page, plain text for a terminal.

[1] Yazici et al. 2020, Table 1. Ours has the same rows and columns, opens every dataset with
held-out real images as the yardstick, and puts the published value beside each of ours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ganstoch.records import Record
from ganstoch.report.captions import caption
from ganstoch.report.orderings import Ordering, check_orderings
from ganstoch.report.paper import Scores, title
from ganstoch.report.rows import Block, Row, blocks
from ganstoch.report.words import (
    DASH,
    PERCENT,
    bank_words,
    compact,
    convergence,
    duration,
    share,
    span,
)

__all__ = ["HEAD", "LEGEND", "TEXT_WIDTH", "body", "heading", "markdown", "terminal"]

TEXT_WIDTH = 100
"""Columns the terminal rendering keeps to."""

LEGEND = (
    "converged: seeds whose metrics stopped improving; cap: none before the iteration cap; "
    "twin: trained for the iterations of the noise-free row with the same m"
)
"""What the words in the column ``converged`` mean."""

HEAD = (
    *("m", "noise"),
    *("overfitting, mean", f"worst 10{PERCENT}", f"worst 5{PERCENT}"),
    *("mode drop, mean", f"worst 10{PERCENT}", f"worst 5{PERCENT}"),
    *("iterations", "images seen", "converged", "seconds"),
)
"""Headings of the table's columns; the first two are words, the others numbers."""


def markdown(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """The table in Markdown: a part per dataset, the paper's values in parentheses.

    Raises:
        UserError: if the records make no table, see `rows.blocks`.
    """
    grouped = blocks(records)
    lines = ["# Table 1", "", _escape(caption(records)), ""]
    if missing:
        lines += [_escape(f"not run: {', '.join(missing)}"), ""]
    for block in grouped:
        lines += [f"## {_escape(heading(block))}", "", _joined(*HEAD), "|---|---|" + "--:|" * 10]
        lines += [_joined(*cells) for cells in body(block)]
        lines.append("")
    lines += [f"{LEGEND}.", "", "## Orderings", ""]
    for ordering in (each for block in grouped for each in check_orderings(block)):
        lines.append(_verdict(ordering))
    return "\n".join(lines) + "\n"


def heading(block: Block) -> str:
    """A dataset's name, size and preset."""
    return f"{title(block.dataset)} (n = {block.n:,}, preset {block.preset})"


def body(block: Block) -> list[list[str]]:
    """The cells of a dataset's lines, held-out real images first where there are some."""
    lines = []
    if block.baseline is not None:
        cells = _values(block.baseline.mean, block.baseline.spread, None)
        lines.append(["held-out real images", DASH, *cells, *[DASH] * 4])
    return lines + [_row(block, row) for row in block.rows]


def _row(block: Block, row: Row) -> list[str]:
    bank = f", {bank_words(row)}" if bank_words(row) else ""
    seconds = [round(run.seconds) for run in row.runs]
    return [
        f"{row.m:,} ({share(row.n, row.m)}){bank}",
        f"{row.noise:g}" if row.noise else "no",
        *_values(row.mean, row.spread, row.paper.scores if row.paper else None),
        span([run.iterations for run in row.runs]),
        span([run.images_seen for run in row.runs]),
        convergence(block, row),
        span(seconds),
    ]


def _values(ours: Scores, spread: Scores | None, theirs: Scores | None) -> list[str]:
    """Six cells like ``2.31 ± 0.10 (1.55)``."""
    cells = [f"{value:.2f}" for value in ours.values()]
    if spread is not None:
        cells = [f"{c} ± {s:.2f}" for c, s in zip(cells, spread.values(), strict=True)]
    paper = [f"{v:.2f}" for v in theirs.values()] if theirs is not None else [DASH] * 6
    return [f"{cell} ({value})" for cell, value in zip(cells, paper, strict=True)]


def _joined(*cells: str) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    """Names of datasets, presets and hardware are the user's: they must not end a cell."""
    for character in "\\|`*_<>[]":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ").replace("\r", " ")


def _verdict(ordering: Ordering) -> str:
    word = "holds" if ordering.holds else "**does not hold**"
    claim = _escape(f"{title(ordering.dataset)}, {ordering.statement}")
    return f"- {claim}: {word} ({ordering.detail})"


def terminal(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """The table as plain text of at most 100 columns; spreads and the paper's values below a row.

    Raises:
        UserError: if the records make no table, see `rows.blocks`.
    """
    grouped = blocks(records)
    lines = ["Table 1", *_wrapped(caption(records)), ""]
    if missing:
        lines += [*_wrapped(f"not run: {', '.join(missing)}"), ""]
    for block in grouped:
        lines += [*_wrapped(f"{title(block.dataset)} (n = {block.n:,})"), *_plain_head()]
        if block.baseline is not None:
            lines.append(_plain("held-out real", block.baseline.mean))
            lines += _below("± sd", block.baseline.spread)
        for row in block.rows:
            noise = f"+{row.noise:g}" if row.noise else ""
            seconds = sum(run.seconds for run in row.runs) / len(row.runs)
            lines.append(
                _plain(
                    f"{row.m:>6,} {share(row.n, row.m):<7}{noise}",
                    row.mean,
                    _count(sum(run.iterations for run in row.runs) / len(row.runs)),
                    compact(sum(run.images_seen for run in row.runs) / len(row.runs)),
                    convergence(block, row),
                    duration(seconds),
                )
            )
            if bank_words(row):
                lines.append(f"         {bank_words(row)}")
            lines += _below("± sd", row.spread)
            lines += _below("paper", row.paper.scores if row.paper else None)
        lines.append("")
    lines += [*_wrapped(f"noise: its variance; {LEGEND}."), "", "Orderings"]
    for ordering in (each for block in grouped for each in check_orderings(block)):
        mark = "  holds  " if ordering.holds else "  FAILS  "
        text = f"{title(ordering.dataset)}, {ordering.statement} ({ordering.detail})"
        lines += _wrapped(text, first=mark, rest=" " * len(mark))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(text, TEXT_WIDTH, initial_indent=first, subsequent_indent=rest)


def _plain_head() -> list[str]:
    groups = " " * 20 + f"{'overfitting':>21}" + f"{'mode drop':>23}"
    names = [*["mean", "10 %", "5 %"] * 2, "iter.", "images", "conv.", "time"]
    head = f"{'     m n/m    noise':<20}" + _columns(names)
    return [groups, head]


def _plain(label: str, scores: Scores, *rest: str) -> str:
    return f"{label:<20}" + _columns([*(f"{value:.2f}" for value in scores.values()), *rest])


def _count(value: float) -> str:
    return f"{value:,.0f}" if value < 99_999.5 else compact(value)


def _below(label: str, scores: Scores | None) -> list[str]:
    return [] if scores is None else [_plain(f"       {label}", scores)]


def _columns(cells: Sequence[str]) -> str:
    """Six values in two groups of three, then what the row cost."""
    widths = (7, 7, 7, 9, 7, 7, 8, 7, 9, 12)
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))
