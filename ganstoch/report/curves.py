"""`curves.png`: the two averages along training, against iterations and against images seen."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ganstoch.records import Measurement, Record
from ganstoch.report.paper import title
from ganstoch.report.rows import Block, Row
from ganstoch.report.words import row_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "colours", "curve", "draw_curves", "line_style"]

Floats = npt.NDArray[np.float64]

# Inches. Fixed places, because a layout engine takes longer than the drawing.
_AX_WIDTH, _AX_HEIGHT, _BETWEEN, _PITCH = 3.9, 2.35, 0.3, 2.7
_LEFT, _WIDTH, _HEIGHT = 0.95, 11.6, 6.3

_WIDE = 5.0  # curves that end further apart than this ratio need a logarithmic axis

_MEASURED = (
    ("overfitting/pixel_l1/mean", "overfitting"),
    ("mode_drop/pixel_l1/mean", "mode drop"),
)
_AXES: tuple[tuple[str, Callable[[Measurement], int]], ...] = (
    ("iterations", lambda measurement: measurement.iteration),
    ("images seen", lambda measurement: measurement.images_seen),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One row's metric over its seeds.

    Attributes:
        x: iterations or images seen, rising, shape (P,).
        mean: mean over the seeds, shape (P,).
        low: smallest of the seeds, shape (P,).
        high: largest of the seeds, shape (P,).
    """

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def curve(
    runs: Sequence[Record], *, metric: str, position: Callable[[Measurement], int]
) -> Curve | None:
    """A metric over the seeds, at every place where one of them was measured.

    A seed that stopped earlier keeps its last value, so that the curve ends on the table's mean
    and does not jump where a seed leaves.

    Returns:
        The curve, or None if no run has the metric in its history.
    """
    paths: list[tuple[Floats, Floats]] = []
    for run in runs:
        points = [(position(m), m.metrics[metric]) for m in run.history if metric in m.metrics]
        if points:
            x, y = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
            paths.append((x, y))
    if not paths:
        return None
    start = max(x[0] for x, _ in paths)  # before it some seed has no value yet
    x = np.unique(np.concatenate([x for x, _ in paths]))
    x = x[x >= start]
    values = np.stack([np.interp(x, xs, ys) for xs, ys in paths])
    return Curve(x=x, mean=values.mean(0), low=values.min(0), high=values.max(0))


def draw_curves(blocks: Sequence[Block]) -> bytes:
    """Draws two by two axes per dataset, datasets below each other, as PNG.

    Args:
        blocks: the table's blocks.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc would change the picture
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(blocks)), dpi=120)
        FigureCanvasAgg(figure)
        for number, block in enumerate(blocks):
            _draw(figure, block, bottom=_HEIGHT * (len(blocks) - 1 - number))
        buffer = io.BytesIO()
        # Without the version of matplotlib in it, equal pictures are equal files.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(figure: Figure, block: Block, *, bottom: float) -> None:
    """One dataset's axes, ``bottom`` inches above the figure's lower edge."""
    total = float(figure.get_figheight())

    def place(x: float, y: float) -> tuple[float, float]:
        return x / _WIDTH, (bottom + y) / total

    heading = f"{title(block.dataset)} (n = {block.n:,})"
    x, y = place(_LEFT, _HEIGHT - 0.3)
    figure.text(x, y, heading, fontsize=13, fontweight="bold", va="center")
    by_size = colours(block.rows)
    for line, (metric, word) in enumerate(_MEASURED):
        for column, (name, position) in enumerate(_AXES):
            x, y = place(_LEFT + column * (_AX_WIDTH + _BETWEEN), 0.65 + (1 - line) * _PITCH)
            ax = figure.add_axes((x, y, _AX_WIDTH / _WIDTH, _AX_HEIGHT / total))
            _fill(ax, block, metric=metric, position=position, by_size=by_size)
            if line:
                ax.set_xlabel(name)
            if column:
                ax.tick_params(labelleft=False)
            else:
                ax.set_ylabel(f"{word}\n(mean pixel l1, grey levels)")
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        corner = place(_LEFT + 2 * _AX_WIDTH + _BETWEEN + 0.15, 0.65 + _PITCH + _AX_HEIGHT)
        figure.legend(
            handles, labels, loc="upper left", bbox_to_anchor=corner, frameon=False, fontsize=10
        )


def _fill(
    ax: Axes,
    block: Block,
    *,
    metric: str,
    position: Callable[[Measurement], int],
    by_size: Mapping[int, str],
) -> None:
    found = [(row, curve(row.runs, metric=metric, position=position)) for row in block.rows]
    drawn = [(row, each) for row, each in found if each is not None]
    logarithmic = _is_wide([each.x for _, each in drawn])
    for row, each in drawn:
        _draw_curve(ax, row, each, colour=by_size[row.m], positive=logarithmic)
    heights = [each.low for _, each in drawn] + [each.high for _, each in drawn]
    if block.baseline is not None:
        scores = block.baseline.mean
        level = scores.overfitting_mean if metric == _MEASURED[0][0] else scores.mode_drop_mean
        ax.axhline(level, color="0.45", linestyle=":", label="held-out real images")
        heights.append(np.array([level]))
    if logarithmic:
        ax.set_xscale("log")
    else:
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.locator_params(axis="x", nbins=6)
    _scale_y(ax, heights)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)


def _scale_y(ax: Axes, heights: Sequence[Floats]) -> None:
    """The same scale beside each other, as both panels show the same values.

    Distances that differ tenfold are compared as ratios; an exact copy has distance 0, which a
    logarithmic axis cannot show.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    values = np.concatenate(heights) if heights else np.ones(1)
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > 10:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.15, high * 1.15)
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(0.0, (high or 1.0) * 1.05)


def _draw_curve(ax: Axes, row: Row, each: Curve, *, colour: str, positive: bool) -> None:
    keep = each.x > 0 if positive else np.ones(each.x.shape, dtype=bool)
    x = each.x[keep]
    ax.plot(
        x,
        each.mean[keep],
        color=colour,
        linestyle=line_style(row),
        linewidth=1.8,
        marker="o" if len(x) == 1 else "",
        label=row_words(row),
    )
    if len(row.runs) > 1:
        ax.fill_between(x, each.low[keep], each.high[keep], color=colour, alpha=0.18, linewidth=0)


def _is_wide(places: Sequence[Floats]) -> bool:
    """Whether curves end so far apart that a linear axis would press some against its left end."""
    ends = [float(each.max()) for each in places if each.max() > 0]
    return bool(ends) and max(ends) / min(ends) > _WIDE


def line_style(row: Row) -> str:
    """Dashed with noise on the latents, dash-dotted where the bank is not the paper's."""
    return "--" if row.noise else ("-" if row.bank == row.n else "-.")


def colours(rows: Sequence[Row]) -> dict[int, str]:
    """A colour per m from viridis, ordered for colour-blind readers too; dark for large m."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    sizes = sorted({row.m for row in rows}, reverse=True)
    steps = np.linspace(0.0, 0.82, max(len(sizes), 2))
    return {m: to_hex(colormaps["viridis"](step)) for m, step in zip(sizes, steps, strict=False)}
