"""The tables of worlds whose modes are known: Markdown, plain text and CSV.

A row per remedy, the perfect sampler first; beside each value the published one where there is
one, and below it by how much that was missed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ganstoch.records import Record
from ganstoch.report.markup import cell, escape, line, wrapped
from ganstoch.report.quantities import (
    CONFIDENCE,
    CONFIDENT,
    GOOD,
    KL,
    MODES,
    QUANTITIES,
    Estimate,
    Quantity,
    gap,
)
from ganstoch.report.words import DASH, compact, span
from ganstoch.report.world_rows import World, WorldRow, worlds
from ganstoch.report.world_words import (
    also_published,
    amount,
    budget,
    caption,
    compared,
    partial,
)

__all__ = ["COLUMNS", "remarks", "table", "world_csv", "world_markdown", "world_terminal"]

_ALL = (MODES, GOOD, KL, CONFIDENT, CONFIDENCE)
_PERFECT = "perfect sampler"

COLUMNS = (
    *("dataset", "protocol", "remedy", "m", "noise", "bank", "seeds", "modes_of"),
    *(f"{quantity.column}{part}" for quantity in _ALL for part in ("", "_se")),
    "published_as",
    *(
        f"{quantity.column}_{part}"
        for quantity in QUANTITIES
        for part in ("published", "published_se", "gap", "gap_in_se")
    ),
    *("iterations", "published_share", "images_seen", "seconds", "n", "preset"),
)
"""Columns of `worlds.csv`; means over seeds, an empty cell where there is no value; a gap is ours
less the published value."""


def world_markdown(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """The tables in Markdown, published values in parentheses.

    Raises:
        UserError: if the records make no table, see `world_rows.worlds`.
    """
    tables = worlds(records)
    lines = ["# Worlds with known modes", "", escape(caption(tables)), ""]
    if missing:
        lines += [escape(f"not run: {', '.join(missing)}"), ""]
    for world in tables:
        head, *rows = table(world)
        lines += [f"## {escape(world.heading)}", "", line(head), _rule(len(_shown(world)))]
        lines += [*(line(cells) for cells in rows), ""]
        found = [f"- {escape(text)}" for text in remarks(world)]
        lines += [*found, ""] if found else []
        if text := also_published(world):
            lines += [escape(text), ""]
    return "\n".join(lines).rstrip() + "\n"


def table(world: World) -> list[list[str]]:
    """The cells of a world's table: its headings, the perfect sampler, then a line a row."""
    shown = _shown(world)
    head = [
        "remedy",
        *(quantity.name for quantity in shown),
        *("seeds", "iterations", "of published", "images seen", "seconds", "protocol"),
    ]
    lines = [head]
    perfect = [_perfect(world, each) for each in shown]
    if any(text != DASH for text in perfect):
        lines.append([_PERFECT, *perfect, *[DASH] * 6])
    return lines + [_row(world, row, shown) for row in world.rows]


def remarks(world: World) -> list[str]:
    """What is to be said of rows: their gaps to published values, seeds that are left out."""
    return [text for row in world.rows if (text := _remark(world, row))]


def _shown(world: World) -> tuple[Quantity, ...]:
    """The columns: judged worlds have confidences, and what nobody measured is left out."""
    return tuple(each for each in _ALL if any(row.estimate(each) for row in world.rows))


def _perfect(world: World, quantity: Quantity) -> str:
    """A value of the perfect sampler's; its divergence is small."""
    return amount(world.perfect(quantity), world.decimals(quantity) + (quantity is KL))


def _rule(columns: int) -> str:
    return "|---|" + "--:|" * columns + "--:|" * 5 + "---|"


def _remark(world: World, row: WorldRow) -> str:
    parts = [part for part in (compared(world, row), partial(row, _ALL)) if part]
    return f"{row.label} against {'; '.join(parts)}" if compared(world, row) else "; ".join(parts)


def _row(world: World, row: WorldRow, shown: Sequence[Quantity]) -> list[str]:
    cells = []
    for quantity in shown:
        decimals = world.decimals(quantity)
        theirs = _published(row, quantity)
        beside = f" ({amount(theirs, decimals)})" if theirs is not None else ""
        cells.append(amount(row.estimate(quantity), decimals) + beside)
    seconds = [round(run.seconds) for run in row.runs]
    return [
        row.label,
        *cells,
        str(len(row.runs)),
        span([run.iterations for run in row.runs]),
        budget(row),
        span([run.images_seen for run in row.runs]),
        span(seconds),
        row.note,
    ]


def _published(row: WorldRow, quantity: Quantity) -> Estimate | None:
    if row.published is None or quantity not in QUANTITIES:
        return None
    found: Estimate | None = getattr(row.published, quantity.column)
    return found


def world_terminal(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """The tables as plain text of at most 100 columns; published values below a row.

    Raises:
        UserError: if the records make no table, see `world_rows.worlds`.
    """
    tables = worlds(records)
    lines = ["Worlds with known modes", *wrapped(caption(tables)), ""]
    if missing:
        lines += [*wrapped(f"not run: {', '.join(missing)}"), ""]
    for world in tables:
        names = [quantity.name for quantity in QUANTITIES]
        lines += [*wrapped(world.heading), *_plain("", [*names, *_EFFORT])]
        lines += _plain(_PERFECT, [_perfect(world, each) for each in QUANTITIES])
        for row in world.rows:
            lines += _plain_row(world, row)
        if text := also_published(world):
            lines += wrapped(text)
        lines.append("")
    return "\n".join(text.rstrip() for text in lines).rstrip() + "\n"


_EFFORT = ("seeds", "iter.", "budget", "images", "seconds")


def _plain_row(world: World, row: WorldRow) -> list[str]:
    count = len(row.runs)
    lines = _plain(
        row.label,
        [
            *(_plain_amount(world, row.estimate(each), each) for each in QUANTITIES),
            str(count),
            compact(sum(run.iterations for run in row.runs) / count),
            budget(row),
            compact(sum(run.images_seen for run in row.runs) / count),
            compact(sum(run.seconds for run in row.runs) / count),
        ],
    )
    if row.published is not None:
        theirs = [_plain_amount(world, _published(row, each), each) for each in QUANTITIES]
        lines += _plain("  published", theirs)
    judged = [
        f"{each.name} {_plain_amount(world, row.estimate(each), each)}"
        for each in (CONFIDENT, CONFIDENCE)
        if row.estimate(each)
    ]
    notes = [", ".join(judged), compared(world, row), partial(row, _ALL), row.note]
    for note in notes:
        lines += wrapped(note, first="  ", rest="    ") if note else []
    return lines


def _plain_amount(world: World, estimate: Estimate | None, quantity: Quantity) -> str:
    return amount(estimate, world.decimals(quantity))


def _plain(label: str, cells: Sequence[str]) -> list[str]:
    """A line of columns; a label too long for its column stands above them."""
    widths = (16, 13, 15, 7, 8, 8, 8, 9)
    columns = "".join(f"{text:>{width}}" for text, width in zip(cells, widths, strict=False))
    if len(label) < 16:
        return [f"{label:<16}{columns}"]
    return [*wrapped(label), " " * 16 + columns]


def world_csv(records: Sequence[Record]) -> str:
    """The tables as CSV: a line per row, and one per world for the perfect sampler.

    Raises:
        UserError: if the records make no table, see `world_rows.worlds`.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for world in worlds(records):
        shared = {
            "dataset": cell(world.dataset),
            "protocol": cell(world.protocol.name),
            "modes_of": str(world.of),
            "n": str(world.n),
            "preset": cell(world.preset),
        }
        perfect = {each.column: _number(world.perfect(each)) for each in _ALL}
        writer.writerow({**shared, "remedy": _PERFECT, **perfect})
        for row in world.rows:
            writer.writerow({**shared, **_csv_row(row)})
    return buffer.getvalue()


def _csv_row(row: WorldRow) -> dict[str, str]:
    run, count = row.runs[0], len(row.runs)
    cells = {
        "remedy": cell(row.remedy),
        "m": str(run.m),
        "noise": f"{run.noise:g}",
        "bank": "fresh" if run.bank is None else str(run.bank),
        "seeds": str(count),
        "iterations": f"{sum(run.iterations for run in row.runs) / count:.10g}",
        "published_share": "" if row.budget is None else f"{row.budget:.6g}",
        "images_seen": f"{sum(run.images_seen for run in row.runs) / count:.15g}",
        "seconds": f"{sum(run.seconds for run in row.runs) / count:.1f}",
    }
    for quantity in _ALL:
        ours, theirs = row.estimate(quantity), _published(row, quantity)
        cells[quantity.column] = _number(ours)
        cells[f"{quantity.column}_se"] = _error(ours)
        if theirs is not None:
            cells[f"{quantity.column}_published"] = _number(theirs)
            cells[f"{quantity.column}_published_se"] = _error(theirs)
        if ours is not None and theirs is not None:
            found = gap(ours, theirs)
            cells[f"{quantity.column}_gap"] = f"{found.by:.6g}"
            in_se = "" if found.errors is None else f"{found.errors:.3g}"
            cells[f"{quantity.column}_gap_in_se"] = in_se
    if row.published is not None:
        cells["published_as"] = f"{row.published.method}, {row.published.source}"
    return cells


def _number(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.mean:.6g}"


def _error(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.error is None else f"{estimate.error:.6g}"
