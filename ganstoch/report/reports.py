"""Whole reports from run directories: everything is made before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganstoch.records import Record, read_record, write_atomically
from ganstoch.report.animation import animate_modes, draw_modes
from ganstoch.report.captions import caption
from ganstoch.report.chapters import Chapter, remedy_chapter, table1_chapter, world_chapter
from ganstoch.report.curves import draw_curves
from ganstoch.report.exports import comma_separated, latex
from ganstoch.report.figures import draw_figure
from ganstoch.report.gradient_noise import draw_gradient_noise
from ganstoch.report.heatmap import draw_heatmap
from ganstoch.report.index_page import Figure, pages
from ganstoch.report.probe_curves import draw_probe
from ganstoch.report.remedies import caption as remedies_caption
from ganstoch.report.remedies import remedies_csv, remedies_markdown, remedies_terminal
from ganstoch.report.remedy_rows import remedy_tables
from ganstoch.report.rows import blocks, run_key
from ganstoch.report.table1 import markdown, terminal
from ganstoch.report.trade_off import draw_trade_off
from ganstoch.report.trails import scenes
from ganstoch.report.world_curves import draw_world_curves
from ganstoch.report.world_rows import world_key, worlds
from ganstoch.report.world_words import caption as world_caption
from ganstoch.report.worlds import world_csv, world_markdown, world_terminal

__all__ = ["write_remedies_report", "write_report", "write_world_report"]

_TABLE1 = (
    Figure(
        "fig1.png",
        "Figure 1: overfitting",
        "For every row of the table, generated images with their nearest images of the data below.",
    ),
    Figure(
        "fig2.png",
        "Figure 2: mode drop",
        "For every row of the table, images of the data with their nearest generated images below.",
    ),
    Figure(
        "curves.png",
        "Over training",
        "Mean distances of both directions against iterations and against images seen, a line for "
        "every row of the table. The last values are those of the table.",
    ),
    Figure(
        "gradient_noise.png",
        "Gradient signal and noise",
        "Squared norm of the full gradient and variance of the mini-batch's, of both players, over "
        "training, a line for every row of the table.",
    ),
    Figure(
        "trade_off.png",
        "Generalisation against mode drop",
        "A path for every row of the table: mode drop on training images against the same on "
        "held-out images, and the gap between both. On the diagonal nothing is memorised.",
    ),
    Figure(
        "probe.png",
        "What D's features tell of the classes",
        "Accuracy of a linear classifier on the discriminator's features against iterations, a "
        "line for every row of the table, beside that of raw pixels and chance.",
    ),
)
_REMEDIES = (
    Figure(
        "remedies.png",
        "Remedies by stochasticity",
        "The tables above, every cell coloured by its change from plain in the same column.",
    ),
)
_WORLDS = (
    Figure(
        "world_curves.png",
        "Over training",
        "Modes, good samples and reverse KL against iterations, a line for every row of the table.",
    ),
    Figure(
        "modes.png",
        "Samples over training",
        "Generated points over those of the data, at several moments of every row's first seed.",
        film="modes.gif",
    ),
)


def write_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``table1.md``, ``.csv``, ``.tex``, two figures, ``curves.png`` and ``index.html``.

    Each run gets a page, ``index.html`` in its folder below ``out``. Where runs have measured their
    gradients there is also ``gradient_noise.png``, where held-out images have asked
    ``trade_off.png``, and where the discriminator was probed ``probe.png``.

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
    if gradients := draw_gradient_noise(grouped, folders=folders):
        files["gradient_noise.png"] = gradients
    if probed := draw_probe(grouped, folders=folders):
        files["probe.png"] = probed
    if walked := draw_trade_off(grouped):
        files["trade_off.png"] = walked
    page = _Page("Table 1", caption(records), [table1_chapter(each) for each in grouped], _TABLE1)
    _write(out, files, page=page, found=found)
    return terminal(records, missing=absent)


def write_world_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``worlds.md``, ``.csv``, three pictures and ``index.html``.

    The pictures are ``world_curves.png``, ``modes.png`` and ``modes.gif``. Each run gets a page,
    ``index.html`` in its folder below ``out``.

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
    chapters = [world_chapter(each) for each in tables]
    page = _Page("Worlds with known modes", world_caption(tables), chapters, _WORLDS)
    _write(out, files, page=page, found=found)
    return world_terminal(found.records, missing=found.absent)


def write_remedies_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``remedies.md``, ``.csv``, ``.png`` and ``index.html``.

    Each run gets a page, ``index.html`` in its folder below ``out``.

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
    tables = remedy_tables(found.records)
    files = {
        "remedies.md": remedies_markdown(found.records, missing=found.absent).encode(),
        "remedies.csv": remedies_csv(found.records).encode(),
        "remedies.png": draw_heatmap(tables),
    }
    page = _Page(
        "Remedies by stochasticity",
        remedies_caption(found.records),
        [remedy_chapter(each) for each in tables],
        _REMEDIES,
    )
    _write(out, files, page=page, found=found)
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


@dataclass(frozen=True, slots=True)
class _Page:
    """What a report's page shows beside its files and runs."""

    heading: str
    caption: str
    chapters: Sequence[Chapter]
    figures: Sequence[Figure]


def _write(out: Path, files: Mapping[str, bytes], *, page: _Page, found: _Finished) -> None:
    """Writes a report's files and pages, each whole or not at all; the pages last.

    What they show is then there before them.
    """
    made = pages(
        out,
        heading=page.heading,
        caption=page.caption,
        chapters=page.chapters,
        figures=page.figures,
        files=files,
        runs=found.pairs,
        missing=found.absent,
    )
    for name, content in {**files, **made}.items():
        write_atomically(out / name, content)
