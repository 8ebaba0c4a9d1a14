"""Whole reports from run directories: everything is made before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganstoch.records import Record, read_record, write_atomically
from ganstoch.reporting.animation import animate_modes, draw_modes
from ganstoch.reporting.curves import draw_curves
from ganstoch.reporting.exports import comma_separated, latex
from ganstoch.reporting.figures import draw_figure
from ganstoch.reporting.heatmap import draw_heatmap
from ganstoch.reporting.remedies import remedies_csv, remedies_markdown, remedies_terminal
from ganstoch.reporting.remedy_rows import remedy_tables
from ganstoch.reporting.rows import blocks, run_key
from ganstoch.reporting.table1 import markdown, terminal
from ganstoch.reporting.trails import scenes
from ganstoch.reporting.world_curves import draw_world_curves
from ganstoch.reporting.world_rows import world_key, worlds
from ganstoch.reporting.worlds import world_csv, world_markdown, world_terminal

__all__ = ["write_remedies_report", "write_report", "write_world_report"]


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
    found = _finished(runs, missing)
    records, absent = found.records, found.absent
    folders = {run_key(run): folder for run, folder in found.pairs}
    grouped = blocks(records)
    files = {
        "table1.md": markdown(records, missing=absent).encode(),
        "table1.csv": comma_separated(records).encode(),
        "table1.tex": latex(records, missing=absent).encode(),
        "fig1.png": draw_figure(grouped, folders=folders, direction="overfitting"),
        "fig2.png": draw_figure(grouped, folders=folders, direction="mode_drop"),
        "curves.png": draw_curves(grouped),
    }
    _write(out, files)
    return terminal(records, missing=absent)


def write_world_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``worlds.md``, ``.csv``, ``world_curves.png``, ``modes.png`` and ``modes.gif``.

    Args:
        out: folder of the report; made if need be.
        runs: run directories of worlds with known modes, each with a ``record.json`` and, for the
            picture and the film, a ``trail.npz``. One without a record is listed as not run; where
            no run has a trail there is neither picture nor film.
        missing: names of further rows that were asked for and are not there.

    Returns:
        The tables as plain text for a terminal.

    Raises:
        UserError: if no run has a record, if the records make no table, if a file is damaged, or
            if the report cannot be written.
    """
    found = _finished(runs, missing)
    tables = worlds(found.records)
    folders = {world_key(run): folder for run, folder in found.pairs}
    drawn = scenes(tables, folders=folders)
    files = {
        "worlds.md": world_markdown(found.records, missing=found.absent).encode(),
        "worlds.csv": world_csv(found.records).encode(),
        "world_curves.png": draw_world_curves(tables),
    }
    if drawn:
        files |= {"modes.png": draw_modes(drawn), "modes.gif": animate_modes(drawn)}
    _write(out, files)
    return world_terminal(found.records, missing=found.absent)


def write_remedies_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``remedies.md``, ``.csv`` and ``.png``.

    Args:
        out: folder of the report; made if need be.
        runs: run directories of images, each with a ``record.json``. One without it is listed as
            not run.
        missing: names of further rows that were asked for and are not there.

    Returns:
        The tables as plain text for a terminal.

    Raises:
        UserError: if no run has a record, if the records make no table, if a file is damaged, or
            if the report cannot be written.
    """
    found = _finished(runs, missing)
    files = {
        "remedies.md": remedies_markdown(found.records, missing=found.absent).encode(),
        "remedies.csv": remedies_csv(found.records).encode(),
        "remedies.png": draw_heatmap(remedy_tables(found.records)),
    }
    _write(out, files)
    return remedies_terminal(found.records, missing=found.absent)


@dataclass(frozen=True, slots=True)
class _Finished:
    """Records with their folders, and the names of rows without one."""

    pairs: list[tuple[Record, Path]]
    absent: list[str]

    @property
    def records(self) -> list[Record]:
        return [record for record, _ in self.pairs]


def _finished(runs: Sequence[Path], missing: Sequence[str]) -> _Finished:
    pairs, absent = [], list(missing)
    for run in runs:
        if (run / "record.json").exists():
            pairs.append((read_record(run / "record.json"), run))
        elif run.name not in absent:
            absent.append(run.name)
    return _Finished(pairs, absent)


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """Writes a report's files, each whole or not at all."""
    for name, content in files.items():
        write_atomically(out / name, content)
