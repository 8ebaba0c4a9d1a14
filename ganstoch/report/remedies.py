"""The tables of remedies by stochasticity: Markdown, plain text and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ganstoch.records import Record
from ganstoch.report.markup import cell, escape, line, wrapped
from ganstoch.report.remedy_rows import (
    DIRECTIONS,
    Column,
    Direction,
    RemedyTable,
    findings,
    remedy_tables,
    value,
)
from ganstoch.report.rows import Baseline, Row
from ganstoch.report.words import duration, enumerate_words, span

__all__ = [
    "COLUMNS",
    "body",
    "caption",
    "remedies_csv",
    "remedies_markdown",
    "remedies_terminal",
]

_MISSING = "-"
_HELD_OUT = "held-out real"
_ACROSS = 5  # columns of the terminal's table beside each other

COLUMNS = (
    *("dataset", "remedy", "m", "noise", "bank", "seeds"),
    *(f"{name}{part}" for name, _ in DIRECTIONS for part in ("_mean", "_sd", "_change")),
    *("iterations", "images_seen", "seconds", "n", "preset"),
)
"""Columns of `remedies.csv`: a line per cell of the tables; a change is relative to plain with the
same m, noise and bank; an empty cell where there is no value."""


def remedies_markdown(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """The tables in Markdown.

    Raises:
        UserError: if the records make no table, see `remedy_rows.remedy_tables`.
    """
    tables = remedy_tables(records)
    lines = ["# Remedies by stochasticity", "", escape(caption(records)), ""]
    if missing:
        lines += [escape(f"not run: {', '.join(missing)}"), ""]
    for table in tables:
        lines += [f"## {escape(table.heading)}", ""]
        for direction, name in DIRECTIONS:
            head = [name, *(f"m = {column.words}" for column in table.columns)]
            lines += [line(head), "|---|" + "--:|" * len(table.columns)]
            lines += [line(cells) for cells in body(table, direction, table.columns)]
            lines.append("")
        lines += [escape(findings(table)), ""]
    return "\n".join(lines).rstrip() + "\n"


def remedies_terminal(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """The tables as plain text of at most 100 columns.

    Raises:
        UserError: if the records make no table, see `remedy_rows.remedy_tables`.
    """
    tables = remedy_tables(records)
    lines = ["Remedies by stochasticity", *wrapped(caption(records)), ""]
    if missing:
        lines += [*wrapped(f"not run: {', '.join(missing)}"), ""]
    for table in tables:
        lines += [*wrapped(table.heading)]
        for start in range(0, len(table.columns), _ACROSS):
            shown = table.columns[start : start + _ACROSS]
            for direction, name in DIRECTIONS:
                lines += _plain([f"{name}, m =", *(column.words for column in shown)])
                for cells in body(table, direction, shown):
                    lines += _plain(cells)
                lines.append("")
        lines += [*wrapped(findings(table)), ""]
    return "\n".join(text.rstrip() for text in lines).rstrip() + "\n"


def _plain(cells: Sequence[str]) -> list[str]:
    """A line of columns; a label too long for its column stands above them."""
    label, *rest = cells
    columns = "".join(f"{text:>16}" for text in rest)
    if len(label) < 20:
        return [f"{label:<20}{columns}"]
    return [*wrapped(label), " " * 20 + columns]


def body(table: RemedyTable, direction: Direction, columns: Sequence[Column]) -> list[list[str]]:
    """Lines of cells: held-out real images, which no setting changes, then a line a remedy."""
    lines = []
    if table.baseline is not None:
        lines.append([_HELD_OUT, *[_amount(table.baseline, direction)] * len(columns)])
    for label in table.remedies:
        cells = [table.cells.get((label, column)) for column in columns]
        lines.append([label, *(_amount(row, direction) for row in cells)])
    return lines


def _amount(found: Row | Baseline | None, direction: Direction) -> str:
    if found is None:
        return _MISSING
    spread = "" if found.spread is None else f" ± {value(found.spread, direction):.2f}"
    return f"{value(found.mean, direction):.2f}{spread}"


def caption(records: Sequence[Record]) -> str:
    """What the tables show, how often, on what; the same for every format."""
    presets = enumerate_words(sorted({run.preset for run in records}))
    seeds = sorted({run.seed for run in records})
    hardware = "; ".join(dict.fromkeys(run.hardware for run in records))
    total = duration(sum(run.seconds for run in records))
    repeated = ["± is the sample standard deviation over seeds."] if len(seeds) > 1 else []
    sentences = [
        f"Preset {presets}; seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}.",
        "Mean pixel l1 to the nearest neighbour, in grey levels per pixel and channel: generated "
        "to data (overfitting: near means copied), data to generated (mode drop: far means "
        "dropped).",
        *repeated,
        f"{span([run.iterations for run in records])} iterations, "
        f"{span([run.images_seen for run in records])} images seen; a remedy may read more "
        "images an iteration than plain does.",
        f"Trained on {hardware}; {len(records)} run{'' if len(records) == 1 else 's'}, {total} "
        "in all.",
    ]
    return " ".join(sentences)


def remedies_csv(records: Sequence[Record]) -> str:
    """The tables as CSV: a line per remedy and setting, one per dataset for held-out images.

    Raises:
        UserError: if the records make no table, see `remedy_rows.remedy_tables`.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for table in remedy_tables(records):
        shared = {
            "dataset": cell(table.dataset),
            "n": str(table.n),
            "preset": cell(table.preset),
        }
        if table.baseline is not None:
            held = {"remedy": _HELD_OUT, "seeds": str(len(table.baseline.by_seed))}
            writer.writerow({**shared, **held, **_numbers(table.baseline)})
        for label in table.remedies:
            for column in table.columns:
                if (row := table.cells.get((label, column))) is not None:
                    cells = _csv_row(table, label, column, row)
                    writer.writerow({**shared, **cells, **_numbers(row)})
    return buffer.getvalue()


def _csv_row(table: RemedyTable, label: str, column: Column, row: Row) -> dict[str, str]:
    count = len(row.runs)
    changes = {name: table.change(label, column, name) for name, _ in DIRECTIONS}
    return {
        "remedy": cell(label),
        "m": str(column.m),
        "noise": f"{column.noise:g}",
        "bank": "fresh" if column.bank is None else str(column.bank),
        "seeds": str(count),
        **{
            f"{name}_change": f"{change:.6g}"
            for name, change in changes.items()
            if change is not None
        },
        "iterations": f"{sum(run.iterations for run in row.runs) / count:.10g}",
        "images_seen": f"{sum(run.images_seen for run in row.runs) / count:.15g}",
        "seconds": f"{sum(run.seconds for run in row.runs) / count:.1f}",
    }


def _numbers(found: Row | Baseline) -> dict[str, str]:
    cells = {f"{name}_mean": f"{value(found.mean, name):.6g}" for name, _ in DIRECTIONS}
    if found.spread is not None:
        spread = found.spread
        cells |= {f"{name}_sd": f"{value(spread, name):.6g}" for name, _ in DIRECTIONS}
    return cells
