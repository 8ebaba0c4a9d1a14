"""`gradient_noise.png`: when the noise of the gradients overtakes their signal, row by row.

[1] Yazici et al. 2020, Sec. 3: at first the sampling error of the gradient is smaller than the
difference between the distributions; later it dominates and stops progress. Each line of the
figure is a row of Table 1: signal and noise of both players, and what training came to meanwhile.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ganstoch.report.curves import curve
from ganstoch.report.gradients import FILE, PLAYERS, GradientHistory, Player, read_gradients
from ganstoch.report.paper import title
from ganstoch.report.rows import Block, Row, RunKey, run_key
from ganstoch.report.words import row_words

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Track", "draw_gradient_noise", "overtaken", "track"]

Floats = npt.NDArray[np.float64]

# Inches. Fixed places, because a layout engine takes longer than the drawing.
_AX_WIDTH, _AX_HEIGHT, _BETWEEN, _PITCH = 3.5, 1.5, 0.62, 2.1
_LEFT, _TOP, _BOTTOM = 0.8, 1.4, 0.75
_WIDTH = _LEFT + 3 * _AX_WIDTH + 2 * _BETWEEN + 0.25

_SIGNAL, _NOISE = "#1f5fa8", "#c2571a"
_MARKS: dict[Player, tuple[str, str, float]] = {  # told apart where they coincide
    "discriminator": (_NOISE, "-", 1.1),
    "generator": ("#4a2206", ":", 1.8),
}
_METRICS = (
    ("overfitting/pixel_l1/mean", "overfitting", "-"),
    ("mode_drop/pixel_l1/mean", "mode drop", "--"),
)


@dataclass(frozen=True, slots=True)
class Track:
    """A player's signal and noise over a row's seeds.

    Attributes:
        x: iterations that all its seeds were measured at, rising, shape (P,).
        signal: of every seed, shape (S, P).
        noise: of every seed, shape (S, P).
    """

    x: Floats
    signal: Floats
    noise: Floats


def track(histories: Sequence[GradientHistory], *, player: Player) -> Track:
    """One player in one or more runs of a row."""
    common = set.intersection(*({moment.iteration for moment in h.moments} for h in histories))
    found = [
        [moment.of(player) for moment in h.moments if moment.iteration in common] for h in histories
    ]
    return Track(
        x=np.array(sorted(common), dtype=np.float64),
        signal=np.array([[each.signal for each in run] for run in found]),
        noise=np.array([[each.noise for each in run] for run in found]),
    )


def overtaken(each: Track) -> int | None:
    """The first iteration measured from which on noise exceeds signal half of the time or more.

    Single crossings say little where both jump about. Of several seeds the means are compared. The
    start does not count: there the generator's gradient is small because nothing is trained yet.

    Returns:
        None if there is no such iteration.
    """
    above = (each.noise.mean(0) > each.signal.mean(0)) & (each.x > 0)
    for place in np.flatnonzero(above):
        if above[place:].mean() >= 0.5:
            return int(each.x[place])
    return None


def draw_gradient_noise(blocks: Sequence[Block], *, folders: Mapping[RunKey, Path]) -> bytes | None:
    """Draws a line of three axes for every row with measurements, as PNG.

    Args:
        blocks: the table's blocks.
        folders: run directories, some of which have a ``gradient_noise.json``.

    Returns:
        None where no run has one.

    Raises:
        UserError: if a file is damaged.
    """
    measured = [(block, _measured(block, folders)) for block in blocks]
    measured = [(block, lines) for block, lines in measured if lines]
    if not measured:
        return None
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [_TOP + _BOTTOM - 0.35 + _PITCH * len(lines) for _, lines in measured]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc would change the picture
        figure = Figure(figsize=(_WIDTH, sum(heights)), dpi=120)
        FigureCanvasAgg(figure)
        upper = sum(heights)
        for (block, lines), height in zip(measured, heights, strict=True):
            _draw_block(figure, block, lines, upper=upper)
            upper -= height
        buffer = io.BytesIO()
        # Without the version of matplotlib in it, equal pictures are equal files.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


_Line = tuple[Row, list[GradientHistory]]


def _measured(block: Block, folders: Mapping[RunKey, Path]) -> list[_Line]:
    lines = []
    for row in block.rows:
        found = [read_gradients(folders[run_key(run)] / FILE) for run in row.runs]
        histories = [each for each in found if each is not None]
        if histories:
            lines.append((row, histories))
    return lines


def _draw_block(figure: Figure, block: Block, lines: Sequence[_Line], *, upper: float) -> None:
    """One dataset's lines, whose heading is below ``upper`` inches."""
    total = float(figure.get_figheight())
    heading = f"{title(block.dataset)} (n = {block.n:,})"
    figure.text(
        _LEFT / _WIDTH, (upper - 0.28) / total, heading, fontsize=13, fontweight="bold", va="center"
    )
    grid: list[list[Axes]] = []
    for number, (row, histories) in enumerate(lines):
        bottom = upper - _TOP - number * _PITCH - _AX_HEIGHT
        axes = [
            figure.add_axes(
                (
                    (_LEFT + column * (_AX_WIDTH + _BETWEEN)) / _WIDTH,
                    bottom / total,
                    _AX_WIDTH / _WIDTH,
                    _AX_HEIGHT / total,
                )
            )
            for column in range(3)
        ]
        places = [_draw_player(ax, histories, p) for ax, p in zip(axes, PLAYERS, strict=False)]
        _draw_metrics(axes[2], row)
        for place, player in zip(places, PLAYERS, strict=True):
            _mark(axes[2], place, player, label=f"noise overtakes signal, {player[0].upper()}")
        estimated = histories[0].draws is not None
        words = row_words(row) + (" (estimated)" if estimated else "")
        axes[0].set_title(words, loc="left", fontsize=10.5, fontweight="bold")
        grid.append(axes)
    _finish(figure, grid, rows=[row for row, _ in lines], upper=upper)


def _draw_player(ax: Axes, histories: Sequence[GradientHistory], player: Player) -> int | None:
    """Signal and noise; where the noise is larger, the ground is shaded. When it overtakes."""
    found = track(histories, player=player)
    for values, colour, label in (
        (found.signal, _SIGNAL, "signal $|g|^2$"),
        (found.noise, _NOISE, r"noise $\mathrm{tr}\,\Sigma_m$"),
    ):
        for seed in values if len(values) > 1 else ():
            ax.plot(found.x, _positive(seed), color=colour, linewidth=0.7, alpha=0.35)
        ax.plot(
            found.x,
            _positive(values.mean(0)),
            color=colour,
            linewidth=1.7,
            label=label,
            marker="o" if found.x.size == 1 else "",
        )
    above = found.noise.mean(0) > found.signal.mean(0)
    ax.fill_between(
        found.x, 0, 1, where=above.tolist(), transform=ax.get_xaxis_transform(), color=_NOISE,
        alpha=0.10, linewidth=0, label="noise above signal",
    )  # fmt: skip
    place = overtaken(found)
    _mark(ax, place, player, label=None)
    if not found.noise.any():
        ax.text(0.98, 0.06, "no noise: the full batch", transform=ax.transAxes, ha="right")
    ax.set_yscale("log")
    return place


def _mark(ax: Axes, place: int | None, player: Player, *, label: str | None) -> None:
    if place is not None:
        colour, style, width = _MARKS[player]
        ax.axvline(place, color=colour, linestyle=style, linewidth=width, label=label)


def _draw_metrics(ax: Axes, row: Row) -> None:
    for metric, label, style in _METRICS:
        each = curve(row.runs, metric=metric, position=lambda m: m.iteration)
        if each is not None:
            ax.plot(each.x, each.mean, color="0.2", linestyle=style, linewidth=1.6, label=label)
            best = int(np.argmin(each.mean))
            ax.plot(each.x[best], each.mean[best], "o", color="0.2", markersize=5)
    ax.set_ylim(bottom=0.0)


def _finish(
    figure: Figure, grid: Sequence[Sequence[Axes]], *, rows: Sequence[Row], upper: float
) -> None:
    """Common scales down each column, headings above it, one legend."""
    total = float(figure.get_figheight())
    heads = ("discriminator", "generator", "mean pixel l1 (grey levels); dots: the lowest")
    for column, head in enumerate(heads):
        axes = [line[column] for line in grid]
        limits = [ax.get_ylim() for ax in axes]
        for ax, row in zip(axes, rows, strict=True):
            ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
            ax.set_xlim(0, max(run.iterations for run in row.runs))
            ax.xaxis.set_major_formatter("{x:,.0f}")
            ax.locator_params(axis="x", nbins=5)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(axis="y", color="0.9", linewidth=0.8)
            ax.set_axisbelow(True)
            ax.tick_params(labelsize=8.5)
        axes[-1].set_xlabel("iterations")
        x = (_LEFT + column * (_AX_WIDTH + _BETWEEN) + _AX_WIDTH) / _WIDTH
        y = (upper - _TOP + 0.2) / total
        figure.text(x, y, head, ha="right", va="center", fontsize=10, color="0.3")
    handles: dict[str, Artist] = {}
    for line in grid:
        for ax in line:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="upper left",
        bbox_to_anchor=((_LEFT - 0.1) / _WIDTH, (upper - 0.42) / total),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        columnspacing=1.2,
    )


def _positive(values: Floats) -> Floats:
    """What a logarithmic axis can show; gaps elsewhere."""
    return np.where(values > 0, values, np.nan)
