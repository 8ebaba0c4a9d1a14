"""Tables and figures, made from finished runs' records alone: no torch, no training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganstoch.records import Record, read_record, write_atomically
from ganstoch.reporting.captions import caption
from ganstoch.reporting.curves import draw_curves
from ganstoch.reporting.exports import comma_separated, latex
from ganstoch.reporting.figures import draw_figure
from ganstoch.reporting.orderings import Ordering, check_orderings, check_published
from ganstoch.reporting.paper import PaperRow, Scores, lookup
from ganstoch.reporting.reports import write_remedies_report, write_world_report
from ganstoch.reporting.rows import Block, Row, RunKey, blocks, run_key
from ganstoch.reporting.table1 import markdown, terminal

__all__ = [
    "Block",
    "Ordering",
    "PaperRow",
    "Row",
    "Scores",
    "blocks",
    "caption",
    "check_orderings",
    "check_published",
    "comma_separated",
    "draw_curves",
    "draw_figure",
    "latex",
    "lookup",
    "markdown",
    "terminal",
    "write_remedies_report",
    "write_report",
    "write_world_report",
]


def write_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``table1.md``, ``.csv``, ``.tex``, ``fig1.png``, ``fig2.png`` and ``curves.png``.

    Args:
        out: folder of the report; made if need be.
        runs: run directories, each with a ``record.json`` and, for the figures, a ``panels.npz``.
            One without a record is listed as not run.
        missing: names of further rows that were asked for and are not there.

    Returns:
        The table as plain text for a terminal.

    Raises:
        UserError: if no run has a record, if the records make no table, if a file is damaged, or
            if the report cannot be written.
    """
    records: list[Record] = []
    folders: dict[RunKey, Path] = {}
    absent = list(missing)
    for run in runs:
        if (run / "record.json").exists():
            record = read_record(run / "record.json")
            records.append(record)
            folders[run_key(record)] = run
        elif run.name not in absent:
            absent.append(run.name)
    grouped = blocks(records)
    # Everything is made before anything is written: a bad run leaves an older report as it was.
    files = {
        "table1.md": markdown(records, missing=absent).encode(),
        "table1.csv": comma_separated(records).encode(),
        "table1.tex": latex(records, missing=absent).encode(),
        "fig1.png": draw_figure(grouped, folders=folders, direction="overfitting"),
        "fig2.png": draw_figure(grouped, folders=folders, direction="mode_drop"),
        "curves.png": draw_curves(grouped),
    }
    for name, content in files.items():
        write_atomically(out / name, content)
    return terminal(records, missing=absent)
