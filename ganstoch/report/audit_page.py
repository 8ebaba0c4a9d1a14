"""`report.html` of an audit: one file that holds all it shows, without scripts or a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ganstoch.report.audit_report import (
    AuditReport,
    CellShares,
    Histogram,
    Pairing,
    SetFacts,
    Share,
    Verdict,
)
from ganstoch.report.inline_plots import Marker, Plot, histogram
from ganstoch.report.page_measures import measures
from ganstoch.report.page_words import (
    decimals,
    fixed,
    memory,
    metric_words,
    percent,
    percent_range,
)
from ganstoch.report.pages import Tile, flattened, render_page, tile
from ganstoch.report.words import duration

__all__ = ["WORDS", "render"]

WORDS: dict[Verdict, str] = {
    "copies": "Copies",
    "collapsed": "Collapsed",
    "drops_modes": "Drops modes",
    "unlike_the_data": "Unlike the data",
    "undecided": "Undecided",
    "nothing_found": "Nothing found",
}
"""A verdict as the page's first word."""

_ROLES = {"real": "Real", "generated": "Generated", "held_out": "Held out"}
_PAIRS = 24  # shown of each kind; every image is written into the page
_CLASSES = 20  # shown at once; the others unfold
_TWINS = 12  # named; report.json has all


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """An image beside its nearest neighbour, left and right as in the set that was asked."""

    name: str
    neighbour: str
    picture: Tile | None
    neighbour_picture: Tile | None
    distance: str
    typical: str
    identical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """A share of the images with its interval, and its place on a line from 0 to 1."""

    name: str
    of: str
    words: str
    interval: str
    marker: Marker | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Map:
    """A table of shares: the cell, of the generated, of the real ones, too few, and an example."""

    name: str
    rows: tuple[tuple[str, str, str, bool, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    name: str
    words: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """A histogram with the numbers it is drawn from."""

    title: str
    plot: Plot
    series: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def render(report: AuditReport, pictures: Mapping[str, bytes]) -> str:
    """The whole page.

    Args:
        report: the audit's.
        pictures: PNG files by ``real/<name>`` and ``generated/<name>`` of the images that
            ``most_copied`` and ``most_missed`` name; a frame stands for one that is not there.

    Raises:
        ValueError: if a picture is no PNG file.
    """
    copied, missed = report.most_copied[:_PAIRS], report.most_missed[:_PAIRS]
    return render_page(
        "audit.html.j2",
        {
            "report": report,
            "word": WORDS[report.verdict],
            "sets": [(_ROLES[role], facts, _shape(facts)) for role, facts in report.sets.items()],
            "shares": [
                _share("Copied", "of the generated images", report.copied_share),
                _share("Missed", "of the real images", report.missed_share),
            ],
            "measures": measures(
                list(report.metrics.items()),
                value="Generated",
                baseline="Held out",
                baseline_words="held-out real images in the generated ones' place",
            ),
            "drawings": [_drawing(each) for each in report.histograms],
            "twins": report.identical[:_TWINS],
            "maps": _maps(report.proportions),
            "copied": _pairs(copied, pictures, asked="generated", found="real"),
            "missed": _pairs(missed, pictures, asked="real", found="generated"),
            "classes": _classes(report.missed_by_class),
            "shown_classes": _CLASSES,
            "overall": None if report.missed_share is None else 100 * report.missed_share.estimate,
            "settings": flattened(report.settings),
            "versions": list(report.versions.items()),
            "duration": duration(report.seconds),
            "memory": memory(report.peak_memory),
        },
    )


def _maps(cells: Sequence[CellShares]) -> list[_Map]:
    """Shares by class or cluster, a table for each space."""
    tables: dict[str, list[CellShares]] = {}
    for cell in cells:
        kind = "clusters" if cell.name.startswith("cluster ") else "classes"
        tables.setdefault(f"{metric_words(cell.space)}, {kind}", []).append(cell)
    return [
        _Map(
            name=name,
            rows=tuple(
                (c.name, percent(c.generated), percent(c.real), c.short, c.example) for c in rows
            ),
        )
        for name, rows in tables.items()
    ]


def _shape(facts: SetFacts) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(map(str, facts.shape))


def _share(name: str, of: str, share: Share | None) -> _Share:
    if share is None:
        return _Share(name=name, of=of, words="cannot be told", interval="", marker=None)
    low, high = (min(max(each, 0.0), 1.0) for each in (share.low, share.high))
    return _Share(
        name=name,
        of=of,
        words=percent(share.estimate),
        interval=f"95\N{NO-BREAK SPACE}% interval {percent_range(low, high)}",
        marker=Marker(
            value=100 * share.estimate, baseline=None, low=100 * low, high=100 * high, zero=0.0
        ),
    )


def _pairs(
    pairs: Sequence[Pairing], pictures: Mapping[str, bytes], *, asked: str, found: str
) -> list[_Pair]:
    def picture(key: str) -> Tile | None:
        return tile(pictures[key]) if key in pictures else None

    numbers = [number for pair in pairs for number in (pair.distance, pair.typical) if number]
    places = decimals(numbers)
    return [
        _Pair(
            name=pair.name,
            neighbour=pair.neighbour,
            picture=picture(f"{asked}/{pair.name}"),
            neighbour_picture=picture(f"{found}/{pair.neighbour}"),
            distance=fixed(pair.distance, places),
            typical="" if pair.typical is None else fixed(pair.typical, places),
            identical=pair.distance == 0,
        )
        for pair in pairs
    ]


def _classes(missed: Mapping[str, float]) -> list[_Class]:
    """The classes, the most missed first; the sort keeps the report's order among equals."""
    order = sorted(missed.items(), key=lambda item: -item[1])
    return [_Class(name=name, words=percent(share), at=100 * share) for name, share in order]


def _drawing(counted: Histogram) -> _Drawing:
    edges, series = counted.edges, tuple(counted.counts)
    # As many digits as tell neighbouring edges apart.
    step = min(right - left for left, right in pairwise(edges))
    places = max(1 - math.floor(math.log10(step)), 0)
    words = [fixed(edge, places if places <= 6 else None) for edge in edges]
    rows = [
        (f"{words[bin]} to {words[bin + 1]}", tuple(f"{counted.counts[s][bin]:,}" for s in series))
        for bin in range(len(edges) - 1)
    ]
    return _Drawing(title=counted.title, plot=histogram(counted), series=series, rows=tuple(rows))
