"""What `index.html` shows of each report's tables: the same cells and sentences as its Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganstoch.report import remedies, table1, worlds
from ganstoch.report.orderings import check_orderings
from ganstoch.report.paper import title
from ganstoch.report.remedy_rows import DIRECTIONS, RemedyTable, findings
from ganstoch.report.rows import Block
from ganstoch.report.world_rows import World
from ganstoch.report.world_words import also_published

__all__ = ["Chapter", "Check", "Grid", "remedy_chapter", "table1_chapter", "world_chapter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table.

    Attributes:
        name: what it holds, for readers who hear it.
        head: headings of its columns.
        rows: its cells; the first of a row names it.
        yardstick: whether the first row is what the others are measured against.
        words: indices of columns that hold words, and not numbers.
    """

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    yardstick: bool
    words: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A claim, whether it holds, and the numbers that say so."""

    claim: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One data set's part of a page.

    Attributes:
        heading: its name and size.
        grids: its tables.
        remarks: sentences below them.
        checks: claims that were checked on them.
    """

    heading: str
    grids: tuple[Grid, ...]
    remarks: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


def table1_chapter(block: Block) -> Chapter:
    """A data set's part of Table 1, with the orderings that were checked on it."""
    grid = Grid(
        name=f"Table 1, {title(block.dataset)}",
        head=table1.HEAD,
        rows=_cells(table1.body(block)),
        yardstick=block.baseline is not None,
        words=(1, table1.HEAD.index("converged")),
    )
    checks = tuple(
        Check(each.statement, each.holds, each.detail) for each in check_orderings(block)
    )
    return Chapter(
        heading=table1.heading(block),
        grids=(grid,),
        remarks=(f"{table1.LEGEND[0].upper()}{table1.LEGEND[1:]}.",),
        checks=checks,
    )


def remedy_chapter(table: RemedyTable) -> Chapter:
    """A data set's remedies: a table for each direction, then what they show."""
    grids = tuple(
        Grid(
            name=f"{name}, {table.heading}",
            head=(name, *(f"m = {column.words}" for column in table.columns)),
            rows=_cells(remedies.body(table, direction, table.columns)),
            yardstick=table.baseline is not None,
        )
        for direction, name in DIRECTIONS
    )
    return Chapter(heading=table.heading, grids=grids, remarks=(findings(table),))


def world_chapter(world: World) -> Chapter:
    """A world's table, then its gaps to published values."""
    head, *rows = worlds.table(world)
    grid = Grid(
        name=world.heading,
        head=tuple(head),
        rows=_cells(rows),
        yardstick=len(rows) > len(world.rows),
        words=(len(head) - 1,),
    )
    also = also_published(world)
    remarks = (*worlds.remarks(world), *([also] if also else []))
    return Chapter(heading=world.heading, grids=(grid,), remarks=remarks)


def _cells(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(cells) for cells in rows)
