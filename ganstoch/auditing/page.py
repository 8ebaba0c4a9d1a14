"""`report.html` of an audit: one file that holds all it shows, without scripts or a network.

Names of files and classes are whatever somebody called them: the template escapes all of them, and
characters that cannot be seen but change how a name looks are written out.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ganstoch.auditing.report import AuditReport, Histogram, Measure, Pair, Verdict
from ganstoch.auditing.words import decimals, fixed, p_words, percent, percent_range, range_words
from ganstoch.errors import visible

__all__ = ["VERDICTS", "render"]

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
    """The whole page.

    Args:
        report: the audit's.
        pictures: PNG files by ``real/<name>`` and ``generated/<name>`` of the images that
            ``most_copied`` and ``most_missed`` name; a frame stands for one that is not there.
    """
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
