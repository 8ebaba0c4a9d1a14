"""Whole reports from run directories: everything is made before anything is written."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ganstoch.records import write_atomically
from ganstoch.report import synthetic_figures, tables
from ganstoch.report.captions import caption
from ganstoch.report.figures import draw_curves, draw_heatmap, draw_neighbors, draw_trade_off
from ganstoch.report.formatting import render_page, wrapped
from ganstoch.report.frame import load
from ganstoch.report.tables import Section
from ganstoch.report.training_figures import draw_gradient_noise, draw_probe

_SYNTHETIC = (
    "Modes: those with a sample. Good samples: near a mode, or, of images, that a classifier is "
    "sure of. Reverse KL: samples over modes against uniform. ± is the standard error over seeds. "
    "True samples are as many of the data's own; below the rows, published values."
)


def write_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes Table 1 with its figures and ``index.html``; returns it as text for a terminal."""
    frame, absent = load(runs, missing=missing)
    words, sections = caption(frame, absent, paper=True), tables.table1(frame)
    pictures = {
        "fig1.png": draw_neighbors(frame, direction="overfitting"),
        "fig2.png": draw_neighbors(frame, direction="mode_drop"),
        "curves.png": draw_curves(frame),
        "gradient_noise.png": draw_gradient_noise(frame),
        "trade_off.png": draw_trade_off(frame),
        "probe.png": draw_probe(frame),
    }
    _write(out / "table1", "Table 1", words, tables.table1_csv(frame), sections, pictures)
    return _terminal("Table 1", words, tables.table1(frame, full=False))


def write_remedies_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes the remedies' tables and heat map; otherwise as `write_report`."""
    frame, absent = load(runs, missing=missing)
    heading, words = "Remedies by stochasticity", caption(frame, absent)
    sections = tables.remedies(frame)
    pictures = {"remedies.png": draw_heatmap(frame)}
    _write(out / "remedies", heading, words, tables.remedies_csv(frame), sections, pictures)
    return _terminal(heading, words, sections)


def write_synthetic_report(out: Path, runs: Sequence[Path], *, missing: Sequence[str] = ()) -> str:
    """Writes the tables and pictures of synthetic data sets; otherwise as `write_report`."""
    frame, absent = load(runs, missing=missing)
    heading, words = "Synthetic data sets", caption(frame, absent, what=_SYNTHETIC)
    sections, points = tables.synthetic(frame), synthetic_figures.scenes(frame)
    pictures = {
        "synthetic_curves.png": synthetic_figures.draw_synthetic_curves(frame),
        "modes.png": synthetic_figures.draw_modes(points) if points else None,
        "modes.gif": synthetic_figures.animate_modes(points) if points else None,
    }
    _write(out / "synthetic", heading, words, tables.synthetic_csv(frame), sections, pictures)
    return _terminal(heading, words, sections)


def _write(
    stem: Path,
    heading: str,
    words: str,
    numbers: pd.DataFrame,
    sections: Sequence[Section],
    pictures: Mapping[str, bytes | None],
) -> None:
    drawn = {path: image for path, image in pictures.items() if image is not None}
    files: dict[str, str | bytes] = {
        f"{stem.name}.csv": tables.csv(numbers),
        f"{stem.name}.md": _markdown(heading, words, sections),
        f"{stem.name}.tex": _latex(sections, words),
        **drawn,
        "index.html": report_page(heading, words, sections, list(drawn)),
    }
    for path, content in files.items():
        raw = content.encode(errors="replace") if isinstance(content, str) else content
        write_atomically(stem.parent / path, raw)


def report_page(
    heading: str, caption: str, sections: Sequence[Section], pictures: Sequence[str]
) -> str:
    """The HTML page of a table and its pictures."""
    words = {"heading": heading, "caption": caption}
    return render_page(Path(__file__).parent, **words, sections=sections, pictures=pictures)


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


_TEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$"},
        **{"\N{EN DASH}": "--", "\N{EM DASH}": "---", "\N{NO-BREAK SPACE}": "~"},
    }
)


def _tex(text: str) -> str:
    return text.translate(_TEX)


def _latex(sections: Sequence[Section], words: str) -> str:
    """The tables in LaTeX, each with the whole caption."""
    parts = ["% needs \\usepackage{booktabs}"]
    for section in sections:
        shown = section.shown.map(_tex).rename(columns=_tex)
        caption = _tex(f"{section.heading}. {words}")
        parts.append(shown.to_latex(index=False, escape=False, caption=caption))
    return "\n".join(parts)


def _terminal(heading: str, words: str, sections: Sequence[Section]) -> str:
    lines = [heading, *wrapped(words), ""]
    for section in sections:
        lines += [section.heading, _grid(section.shown, form="simple")]
        for remark in section.remarks:
            lines += wrapped(remark, first="  ", rest="    ")
        lines.append("")
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
