"""Whole reports from run directories: everything is made before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ganstoch.errors import visible
from ganstoch.records import write_atomically
from ganstoch.report import tables
from ganstoch.report.captions import caption
from ganstoch.report.figures import draw_curves, draw_heatmap, draw_neighbors, draw_trade_off
from ganstoch.report.formatting import wrapped
from ganstoch.report.frame import load
from ganstoch.report.synthetic_figures import (
    animate_modes,
    draw_modes,
    draw_synthetic_curves,
    scenes,
)
from ganstoch.report.tables import Section
from ganstoch.report.training_figures import draw_gradient_noise, draw_probe

_SYNTHETIC = (
    "Modes: those with a sample. Good samples: near a mode, or, of images, that a classifier is "
    "sure of. Reverse KL: samples over modes against uniform. ± is the standard error over seeds. "
    "True samples are as many of the data's own; below the rows, published values."
)


def write_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes Table 1 with its figures and ``index.html``; returns it as text for a terminal.

    Args:
        out: folder of the report; made if need be.
        runs: run directories. One without a ``record.json`` is listed as not run.
        missing: names of further rows that are not there.

    Raises:
        UserError: if the records make no table, or a file is damaged or cannot be written.
    """
    frame, absent = load(runs, missing=missing)
    numbers, sections = tables.table1_csv(frame), tables.table1(frame)
    pictures = {
        "fig1.png": draw_neighbors(frame, direction="overfitting"),
        "fig2.png": draw_neighbors(frame, direction="mode_drop"),
        "curves.png": draw_curves(frame),
        "gradient_noise.png": draw_gradient_noise(frame),
        "trade_off.png": draw_trade_off(frame),
        "probe.png": draw_probe(frame),
    }
    words = caption(frame, absent, paper=True)
    _write(out, "table1", "Table 1", words, numbers, sections, pictures)
    return _terminal("Table 1", words, tables.table1(frame, full=False))


def write_remedies_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``remedies.csv``, ``.md``, ``.png``, ``index.html``; otherwise as `write_report`."""
    frame, absent = load(runs, missing=missing)
    numbers, sections = tables.remedies_csv(frame), tables.remedies(frame)
    words, heading = caption(frame, absent), "Remedies by stochasticity"
    pictures = {"remedies.png": draw_heatmap(frame)}
    _write(out, "remedies", heading, words, numbers, sections, pictures)
    return _terminal(heading, words, sections)


def write_synthetic_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes ``synthetic.csv``, ``.md``, pictures and ``index.html``; as `write_report`."""
    frame, absent = load(runs, missing=missing)
    numbers, sections = tables.synthetic_csv(frame), tables.synthetic(frame)
    points = scenes(frame)
    pictures = {
        "synthetic_curves.png": draw_synthetic_curves(frame),
        "modes.png": draw_modes(points) if points else None,
        "modes.gif": animate_modes(points) if points else None,
    }
    words, heading = caption(frame, absent, what=_SYNTHETIC), "Synthetic data sets"
    _write(out, "synthetic", heading, words, numbers, sections, pictures)
    return _terminal(heading, words, sections)


def _write(
    out: Path,
    name: str,
    heading: str,
    words: str,
    numbers: pd.DataFrame,
    sections: Sequence[Section],
    pictures: Mapping[str, bytes | None],
) -> None:
    """Writes a report's files, each whole or not at all; the page last."""
    drawn = {path: image for path, image in pictures.items() if image is not None}
    files = {
        f"{name}.csv": tables.csv(numbers).encode(),
        f"{name}.md": _markdown(heading, words, sections).encode(errors="replace"),
        f"{name}.tex": _latex(sections).encode(errors="replace"),
        **drawn,
        "index.html": report_page(heading, words, sections, list(drawn)).encode(errors="replace"),
    }
    for path, content in files.items():
        write_atomically(out / path, content)


def report_page(
    heading: str, caption: str, sections: Sequence[Section], pictures: Sequence[str]
) -> str:
    """The HTML page of a table and its pictures: one file, without scripts.

    Names of data sets and machines are whatever somebody called them: the template escapes them,
    and writes out characters that cannot be seen but change how a name looks.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        heading=heading, caption=caption, sections=sections, pictures=pictures
    )
    return page + "\n"


def _grid(shown: pd.DataFrame, *, form: str) -> str:
    sides = ["left", *["right"] * (len(shown.columns) - 1)]
    return str(shown.to_markdown(index=False, tablefmt=form, colalign=sides, disable_numparse=True))


def _escaped(text: str) -> str:
    """Text as Markdown prints it; names of data sets, remedies and hardware are the user's."""
    return re.sub(r"[\\|`*_<>\[\]]", r"\\\g<0>", text)


def _markdown(heading: str, words: str, sections: Sequence[Section]) -> str:
    lines = [f"# {heading}", "", _escaped(words), ""]
    for section in sections:
        shown = section.shown.map(_escaped).rename(columns=_escaped)
        lines += [f"## {_escaped(section.heading)}", "", _grid(shown, form="pipe"), ""]
        lines += [*(f"- {_escaped(remark)}" for remark in section.remarks), ""]
    return "\n".join(lines).rstrip() + "\n"


def _latex(sections: Sequence[Section]) -> str:
    """The tables in LaTeX (package booktabs), each below its heading as a comment."""
    parts = [
        f"% {section.heading}\n{section.shown.to_latex(index=False, escape=True)}"
        for section in sections
    ]
    return "\n".join(parts)


def _terminal(heading: str, words: str, sections: Sequence[Section]) -> str:
    lines = [heading, *wrapped(words), ""]
    for section in sections:
        lines += [section.heading, _grid(section.shown, form="simple")]
        for remark in section.remarks:
            lines += wrapped(remark, first="  ", rest="    ")
        lines.append("")
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
