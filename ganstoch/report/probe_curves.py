"""`probe.png`: what the discriminator's features tell of the classes, along training."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from ganstoch.records import Measurement, Record
from ganstoch.report.curves import Floats, colours, curve, line_style
from ganstoch.report.paper import title
from ganstoch.report.probe_track import ProbeTrack, read_probe
from ganstoch.report.rows import Block, Row, RunKey, run_key
from ganstoch.report.words import row_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_probe"]

# Inches. Fixed places, because a layout engine takes longer than the drawing.
_AX_WIDTH, _AX_HEIGHT, _LEFT, _BETWEEN, _BOTTOM = 4.8, 3.0, 0.85, 0.9, 0.65
_WIDTH, _HEIGHT = 15.4, 4.5

_PERCENT = 100.0
_LEAST = 4.0


def draw_probe(blocks: Sequence[Block], *, folders: Mapping[RunKey, Path]) -> bytes | None:
    """Draws two axes per dataset, datasets below each other, as PNG.

    Left the accuracy on images that the probe was not fitted to, right on those that it was. A line
    is the mean over seeds, its band reaches from the lowest seed to the highest.

    Args:
        blocks: the table's blocks.
        folders: run directories, some of which have a ``probe.json``.

    Returns:
        None if no run has one.

    Raises:
        UserError: if a file is damaged.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tracks = {
        run_key(run): track
        for block in blocks
        for row in block.rows
        for run in row.runs
        if (track := read_probe(folders[run_key(run)] / "probe.json")) is not None
    }
    probed = [
        block
        for block in blocks
        if any(run_key(run) in tracks for row in block.rows for run in row.runs)
    ]
    if not probed:
        return None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc would change the picture
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(probed)), dpi=120)
        FigureCanvasAgg(figure)
        for number, block in enumerate(probed):
            _draw(figure, block, tracks, bottom=_HEIGHT * (len(probed) - 1 - number))
        buffer = io.BytesIO()
        # Without the version of matplotlib in it, equal pictures are equal files.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(
    figure: Figure, block: Block, tracks: Mapping[RunKey, ProbeTrack], *, bottom: float
) -> None:
    """One dataset's axes, ``bottom`` inches above the figure's lower edge."""
    total = float(figure.get_figheight())
    rows = [(row, [run for run in row.runs if run_key(run) in tracks]) for row in block.rows]
    rows = [(row, runs) for row, runs in rows if runs]
    of_block = [tracks[run_key(run)] for _, runs in rows for run in runs]
    heading = f"{title(block.dataset)} (n = {block.n:,}): a linear probe of D's features"
    y = (bottom + _BOTTOM + _AX_HEIGHT + 0.45) / total
    figure.text(_LEFT / _WIDTH, y, heading, fontsize=13, fontweight="bold", va="center")
    by_size = colours(block.rows)
    first = of_block[0]
    tested = "held out" if first.test == "held_out" else "put aside, D trains on them"
    panels = (
        ("accuracy", f"test accuracy (%)\n{first.tested_on:,} images, {tested}"),
        ("train_accuracy", f"training accuracy (%)\n{first.fitted_on:,} images, probe fitted to"),
    )
    for column, (metric, label) in enumerate(panels):
        left = _LEFT + column * (_AX_WIDTH + _BETWEEN)
        ax = figure.add_axes(
            (
                left / _WIDTH,
                (bottom + _BOTTOM) / total,
                _AX_WIDTH / _WIDTH,
                _AX_HEIGHT / total,
            )
        )
        heights = [_draw_row(ax, row, runs, tracks, metric, by_size[row.m]) for row, runs in rows]
        _compare(ax, of_block, metric, heights)
        ax.set_xlabel("iterations")
        ax.set_ylabel(label)
    corner = (_LEFT + 2 * _AX_WIDTH + _BETWEEN + 0.15, bottom + _BOTTOM + _AX_HEIGHT + 0.1)
    figure.legend(
        *figure.axes[-2].get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(corner[0] / _WIDTH, corner[1] / total),
        frameon=False,
        fontsize=9.5,
    )


def _draw_row(
    ax: Axes,
    row: Row,
    runs: Sequence[Record],
    tracks: Mapping[RunKey, ProbeTrack],
    metric: str,
    colour: str,
) -> Floats:
    """Draws a line with its band; what it reaches, in per cent."""
    probed = [_as_history(run, tracks[run_key(run)]) for run in runs]
    each = curve(probed, metric=metric, position=lambda moment: moment.iteration)
    assert each is not None
    mean, low, high = (_PERCENT * values for values in (each.mean, each.low, each.high))
    ax.plot(
        each.x,
        mean,
        color=colour,
        linestyle=line_style(row),
        linewidth=1.8,
        marker="o" if len(mean) == 1 else "",
        label=f"{row_words(row)}: best {mean.max():.1f}, last {mean[-1]:.1f}",
    )
    if len(runs) > 1:
        ax.fill_between(each.x, low, high, color=colour, alpha=0.18, linewidth=0)
    return np.concatenate([low, high])


def _as_history(run: Record, track: ProbeTrack) -> Record:
    """A run with the probe's moments in place of its measurements."""
    history = tuple(
        Measurement(
            iteration=moment.iteration,
            images_seen=0,
            metrics={"accuracy": moment.accuracy, "train_accuracy": moment.train_accuracy},
        )
        for moment in track.moments
    )
    return run.model_copy(update={"history": history})


def _compare(
    ax: Axes, tracks: Sequence[ProbeTrack], metric: str, heights: Sequence[Floats]
) -> None:
    """The same probe on raw pixels; and chance, where it is not far below everything."""
    fitted = metric == "train_accuracy"
    pixels = _PERCENT * fmean(t.pixels_train if fitted else t.pixels for t in tracks)
    chance = _PERCENT * fmean(t.chance for t in tracks)
    ax.axhline(pixels, color="0.45", linestyle=":", label=f"of raw pixels: {pixels:.1f}")
    values = np.concatenate([*heights, np.array([pixels])])
    low, high = float(values.min()), float(values.max())
    shown = not fitted and low - chance < 3 * (high - low)
    if shown:
        ax.axhline(chance, color="0.7", linewidth=1.2, label=f"chance: {chance:.1f}")
    elif not fitted:
        ax.plot([], [], " ", label=f"chance, far below: {chance:.1f}")
    low = min(low, chance) if shown else low
    # At least some points of per cent, so that the chance of a few images fills no panel.
    missing = max(_LEAST - (high - low), 0.0) / 2
    margin = 0.06 * (high - low) + missing
    ax.set_ylim(max(0.0, low - margin), min(100.5, high + margin))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.locator_params(axis="x", nbins=6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
