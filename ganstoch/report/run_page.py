"""A run's own page: its measures beside the baseline, its curves, its images, its settings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ganstoch.records import Record
from ganstoch.report.audit_report import Reading
from ganstoch.report.inline_plots import Plot, curves
from ganstoch.report.page_measures import measures
from ganstoch.report.pages import Tile, flattened, render_page, tile
from ganstoch.report.panels import Bytes, read_panel
from ganstoch.report.paper import title
from ganstoch.report.rows import Row
from ganstoch.report.words import duration, row_words
from ganstoch.report.world_rows import remedy_of

__all__ = ["HEADLINES", "run_label", "run_page"]

HEADLINES = (
    ("overfitting/pixel_l1/mean", "overfitting", "mean pixel l1, grey levels"),
    ("mode_drop/pixel_l1/mean", "mode drop", "mean pixel l1, grey levels"),
    ("modes/count", "modes", "modes found"),
    ("modes/good_share", "good share", "share of good samples"),
)
"""What is said of a run first: key in the record, name, and what its axis shows."""

_STRIPS = (
    ("overfitting", "Generated images and their nearest data", "generated", "nearest data"),
    ("mode_drop", "Data and their nearest generated images", "data", "nearest generated"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strip:
    """Images with their neighbours below them."""

    heading: str
    words: tuple[str, ...]
    columns: tuple[tuple[Tile, ...], ...]


@dataclass(frozen=True, slots=True)
class _Curve:
    name: str
    plot: Plot


def run_label(run: Record) -> str:
    """What a reader calls a run: ``digits, packing2, m = 64 (n/4), noise 0.5, seed 0``."""
    remedy = remedy_of(run)
    parts = [title(run.dataset), *([remedy] if remedy != "plain" else [])]
    return ", ".join([*parts, row_words(Row((run,))), f"seed {run.seed}"])


def run_page(run: Record, *, panels: Path, home: str, files: Sequence[tuple[str, str]]) -> str:
    """The page of one run.

    Args:
        run: its record.
        panels: its ``panels.npz``, which need not exist.
        home: address of the report's page, seen from this one.
        files: names and addresses of the files it left.

    Raises:
        UserError: if the panels cannot be read or their arrays do not fit together.
    """
    readings = [
        (name, Reading(value=value, baseline=run.baseline.get(name), wanted="low", meaning=""))
        for name, value in sorted(run.metrics.items(), key=lambda item: _order(item[0]))
    ]
    is_world = "modes/of" in run.metrics
    yardstick = ("Perfect", "a perfect sampler") if is_world else ("Held out", "held-out images")
    return render_page(
        "run.html.j2",
        {
            "label": run_label(run),
            "home": home,
            "files": files,
            "facts": _facts(run),
            "measures": measures(
                readings,
                value="This run",
                baseline=yardstick[0],
                baseline_words=yardstick[1],
                wanted=False,
            ),
            "curves": _curves(run),
            "yardstick": yardstick[1],
            "strips": [strip for each in _STRIPS if (strip := _strip(panels, *each)) is not None],
            "settings": [(key, words) for key, words in flattened(run.config) if words != "none"],
            "versions": list(run.versions.items()),
            "run": run,
        },
    )


def _order(name: str) -> tuple[int, str]:
    """Headlines first, then by alphabet."""
    headlines = [key for key, _, _ in HEADLINES]
    return headlines.index(name) if name in headlines else len(headlines), name


def _facts(run: Record) -> list[tuple[str, str]]:
    return [
        ("Images in the data", f"{run.n:,}"),
        ("Mini-batch", f"{run.m:,}"),
        ("Latents", "fresh ones" if run.bank is None else f"a bank of {run.bank:,}"),
        ("Noise on them", f"variance {run.noise:g}" if run.noise else "none"),
        ("Remedy", remedy_of(run)),
        ("Seed", str(run.seed)),
        ("Iterations", f"{run.iterations:,}, {'converged' if run.converged else 'to the cap'}"),
        ("Images seen", f"{run.images_seen:,}"),
        ("Time", duration(run.seconds)),
    ]


def _curves(run: Record) -> list[_Curve]:
    found = []
    for key, name, axis in HEADLINES:
        points = [(float(m.iteration), m.metrics[key]) for m in run.history if key in m.metrics]
        if len(points) > 1:
            level = run.baseline.get(key)
            plot = curves([(name, points)], x_name="iterations", y_name=axis, level=level)
            found.append(_Curve(name, plot))
    return found


def _strip(panels: Path, direction: str, heading: str, query: str, nearest: str) -> _Strip | None:
    panel = read_panel(panels, direction=direction)
    if panel is None:
        return None
    rows = [(query, panel.queries), (f"{nearest}, by pixel", panel.pixel)]
    if panel.feature is not None:
        rows.append((f"{nearest}, by {panel.feature_name}", panel.feature))
    images = zip(*(array for _, array in rows), strict=True)
    return _Strip(
        heading=heading,
        words=tuple(words for words, _ in rows),
        columns=tuple(tuple(tile(_png(image)) for image in column) for column in images),
    )


def _png(image: Bytes) -> bytes:
    """An image (H, W, 3), uint8, as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=9)
    return buffer.getvalue()
