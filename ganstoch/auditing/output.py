"""What an audit leaves: lines on the terminal, and a folder of four files, all or none.

`report.html` is one file that holds all it shows, without scripts or a network. Names of files and
classes are whatever somebody called them: the template escapes all of them, and characters that
cannot be seen but change how a name looks are written out.
"""

from __future__ import annotations

import base64
import io
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ganstoch.auditing.inputs import Images
from ganstoch.auditing.report import AuditReport, Histogram, Measure, Pair, Verdict, is_report
from ganstoch.auditing.words import decimals, fixed, p_words, percent, percent_range, range_words
from ganstoch.errors import UserError, visible
from ganstoch.records import write_atomically
from ganstoch.report.formatting import cell, wrapped

__all__ = ["PAGE", "VERDICTS", "check_place", "png_pictures", "render", "terminal", "write_files"]

REPORT, PAGE, TABLE, IMAGES = "report.json", "report.html", "missed.csv", "generated.csv"

_NAMED = 5
_LEFT_OUT = ("/worst10", "/worst5", "/density", "/z")
"""Ends of names that only the report files have."""


def check_place(out: Path) -> None:
    """A UserError for a place that cannot be written to, or that holds files of others."""
    fix = "choose another --out"
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file and not a folder; {fix}")
    there = [name for name in (REPORT, PAGE, TABLE, IMAGES) if (out / name).exists()]
    if there and not is_report(out / REPORT):
        raise UserError(f"{out} holds a {there[0]} that no audit has written; {fix}")
    folder = out
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{folder} is a file and not a folder; {fix}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"may not write to {folder}; {fix}")


def write_files(
    out: Path,
    report: AuditReport,
    *,
    pictures: Mapping[str, bytes],
    missed: pd.DataFrame,
    generated: pd.DataFrame,
) -> None:
    """Writes the files once all are made; the report last, which vouches for the others."""
    content = {
        TABLE: _csv(missed),
        IMAGES: _csv(generated),
        PAGE: render(report, pictures),
        REPORT: report.to_json(),
    }
    for name, text in content.items():
        write_atomically(out / name, text.encode())


def _csv(frame: pd.DataFrame) -> str:
    text = frame.map(lambda value: cell(value) if isinstance(value, str) else value)
    return text.to_csv(index=False, float_format="%.6g", lineterminator="\r\n")


def terminal(report: AuditReport) -> str:
    """A report in at most 100 columns: the verdict, then the numbers that people look for."""
    lines = _wrapped(f"{VERDICTS[report.verdict].upper()}: {report.sentence}")
    for sentence in report.findings[1:]:
        lines += _wrapped(sentence, "  also: ")
    lines.append("")
    for role, facts in report.sets.items():
        shape = "x".join(map(str, facts.shape))
        text = f"{facts.images:,} images ({shape}), {facts.where}"
        lines += _wrapped(text, f"  {role.replace('_', ' '):<11}")
    if report.identical:
        named = [f"{twin.generated} is {twin.real}" for twin in report.identical[:_NAMED]]
        more = len(report.identical) - _NAMED
        text = f"identical: {', '.join(named)}" + (f" and {more:,} more" if more > 0 else "")
        lines += ["", *_wrapped(text)]
    lines += ["", *_table(report)]
    worst = sorted(report.missed_by_class.items(), key=lambda item: -item[1])[:_NAMED]
    if words := ", ".join(f"{name} {100 * share:.1f} %" for name, share in worst if share > 0):
        lines += ["", *_wrapped(f"missed by class, most first: {words}")]
    if report.notes:
        lines.append("")
        for note in report.notes:
            lines += _wrapped(note, "note: ")
    return "\n".join(lines)


def _table(report: AuditReport) -> Iterator[str]:
    shown = {
        _printable(name): measure
        for name, measure in report.metrics.items()
        if not name.endswith(_LEFT_OUT)
    }
    width = max((len(name) for name in shown), default=0) + 1
    head = f"{'generated':>12}{'unseen real':>14}   {'95 % interval':<22}{'p':>8}"
    yield f"{'':<{width}}{head}".rstrip()
    for name, measure in shown.items():
        yield f"{name:<{width}}{_cells(measure)}".rstrip()


def _cells(measure: Measure) -> str:
    low, high = measure.low, measure.high
    places = decimals([measure.value, measure.baseline, low, high])
    interval = "" if low is None else f"{fixed(low, places)} to {fixed(high, places)}"
    p = "" if measure.p_value is None else f"{measure.p_value:.3g}"
    value, baseline = fixed(measure.value, places), fixed(measure.baseline, places)
    return f"{value:>12}{baseline:>14}   {interval:<22}{p:>8}"


def _wrapped(text: str, first: str = "") -> list[str]:
    return wrapped(_printable(text), first=first, rest=" " * len(first))


def _printable(text: str) -> str:
    """Without characters that would move a terminal's cursor or turn its writing round."""
    plain = text.replace("\N{NO-BREAK SPACE}", " ")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)


def png_pictures(images: Images, ids: Sequence[int]) -> dict[str, bytes]:
    """PNG files of some images, by ``role/name``."""
    several = torch.tensor(sorted(set(ids)), dtype=torch.int64)
    if len(several) == 0:
        return {}
    pictures = {}
    for name, pixels in zip(images.names(several), images.read(several), strict=True):
        shown = np.ascontiguousarray(pixels.permute(1, 2, 0).squeeze(-1).numpy())
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "PNG")
        pictures[f"{images.role}/{name}"] = buffer.getvalue()
    return pictures


VERDICTS: dict[Verdict, str] = {
    "memorization": "Memorization",
    "mode_collapse": "Mode collapse",
    "mode_drop": "Mode drop",
    "distribution_shift": "Distribution shift",
    "undecided": "Undecided",
    "no_issue": "No issue",
}
"""A verdict in words."""

_TILE = 96
"""Pixels of an image's side on the page."""


def render(report: AuditReport, pictures: Mapping[str, bytes]) -> str:
    """The whole page; ``pictures`` are PNG files by ``role/name``, some may be missing."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("page.html.j2").render(
        report=report,
        verdict=VERDICTS[report.verdict],
        percent=percent,
        percent_range=percent_range,
        measures=[_measure(name, measure) for name, measure in report.metrics.items()],
        histograms=[(each, _drawn(each)) for each in report.histograms],
        proportions=[
            (space, list(cells))
            for space, cells in groupby(
                report.proportions,
                lambda cell: (
                    f"{cell.space}, {'clusters' if cell.name[:8] == 'cluster ' else 'classes'}"
                ),
            )
        ],
        copied=[_pair(pair, pictures, "generated", "real") for pair in report.most_copied],
        missed=[_pair(pair, pictures, "real", "generated") for pair in report.most_missed],
        classes=sorted(report.missed_by_class.items(), key=lambda item: -item[1]),
        sharp=max(report.sets["real"].shape[1:], default=0) <= _TILE,
        settings=list(_settings(report)),
    )
    return text + "\n"


def _measure(name: str, measure: Measure) -> tuple[str, str, tuple[str, ...]]:
    """Name, meaning, and the cells: value, baseline, interval, p-value, target."""
    low, high = measure.low, measure.high
    places = decimals([measure.value, measure.baseline, low, high])
    value, baseline = fixed(measure.value, places), fixed(measure.baseline, places)
    interval = "" if low is None else range_words(fixed(low, places), fixed(high, places))
    target = "as unseen" if measure.target == "baseline" else measure.target
    words = ", ".join(filter(None, name.replace("_", " ").split("/")))
    return words, measure.meaning, (value, baseline, interval, p_words(measure.p_value), target)


def _pair(
    pair: Pair, pictures: Mapping[str, bytes], role: str, neighbour_role: str
) -> tuple[Pair, Markup | None, Markup | None, str]:
    """The pair, its two pictures, and its distance in words."""
    places = decimals([pair.distance, pair.typical])
    words = fixed(pair.distance, places) + (", identical" if pair.distance == 0 else "")
    if pair.typical is not None:
        words += f"; typical {fixed(pair.typical, places)}"
    names = (f"{role}/{pair.name}", f"{neighbour_role}/{pair.neighbour}")
    own, other = (_address(pictures[n], "png") if n in pictures else None for n in names)
    return pair, own, other, words


def _address(content: bytes, kind: str) -> Markup:
    return Markup("data:image/") + kind + ";base64," + base64.b64encode(content).decode()


def _drawn(histogram: Histogram) -> Markup:
    """The histogram's picture, each series as a share of its own images."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # takes a second to import
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(5, 2.6), layout="constrained")
    axes = figure.subplots()
    styles = (("#3f7fbf", "-", 0.25), ("#c06a15", "--", 0.0), ("#8a66c0", ":", 0.0))
    for (name, counts), (colour, line, alpha) in zip(
        histogram.counts.items(), styles, strict=False
    ):
        total = max(1, sum(counts))
        shares = [count / total for count in counts]
        label = _plain(f"{name}, {sum(counts):,}")
        axes.stairs(shares, histogram.edges, color=colour, linestyle=line, label=label, lw=1.5)
        axes.stairs(shares, histogram.edges, color=colour, alpha=alpha, fill=True)
    axes.set_xlabel(_plain(histogram.unit))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return _address(buffer.getvalue(), "svg+xml")


def _plain(text: str) -> str:
    """A short text that matplotlib takes for no formula."""
    return textwrap.shorten(visible(text), 60, placeholder=" ...").replace("$", r"\$")


def _settings(report: AuditReport) -> Iterator[tuple[str, object]]:
    """All that decides the numbers, and what they were computed on."""
    for key, value in report.settings.items():
        words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        yield key, "none" if words is None else words
    for role, facts in report.sets.items():
        yield f"{role.replace('_', ' ')}, sha256 of the pixels", facts.sha256
    yield from report.versions.items()
    yield "hardware", report.hardware
    yield "seconds", f"{report.seconds:.1f}"
    yield "memory at most", f"{report.peak_memory / 2**20:,.0f} MiB"
    yield "layout of report.json", f"version {report.schema_version}"
