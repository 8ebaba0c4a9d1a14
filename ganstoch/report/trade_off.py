"""`trade_off.png`: mode drop on the training images against mode drop on held-out ones, over time.

[1] Yazici et al. 2020, Sec. 5 and 6: there is a trade-off between generalisation and mode drop,
which the amount of chance in training decides. A row of Table 1 is a path, from its first
measurement to its last. On the diagonal training images are as near to the generator as images that
it never saw, so that nothing in it depends on which of them it was given; what lies above is
memorised. The height above the diagonal, the generalisation gap, is drawn once more by itself.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganstoch.records import Record
from ganstoch.report.curves import Floats, colours, curve, line_style
from ganstoch.report.paper import title
from ganstoch.report.rows import Block, Row
from ganstoch.report.words import row_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["HELD_OUT", "TRAINING", "Path", "draw_trade_off", "path_of"]

TRAINING = "mode_drop/pixel_l1/mean"
HELD_OUT = "held_out_drop/pixel_l1/mean"

# Inches. Fixed places, because a layout engine takes longer than the drawing.
_SIDE, _LEFT, _BETWEEN, _BOTTOM, _WIDTH, _HEIGHT = 4.6, 0.95, 0.85, 0.75, 15.4, 6.1

_ARROWS = (0.3, 0.6, 0.9)
"""Where along a path an arrow shows the direction of time, as shares of its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One row's way through training, mean over its seeds.

    Attributes:
        training: mode drop on training images, shape (P,), in the order of time.
        held_out: mode drop on held-out images, shape (P,).
        ends: both at the last measurement of each seed, shape (seeds, 2).
    """

    training: Floats
    held_out: Floats
    ends: Floats

    @property
    def gap(self) -> float:
        """The final generalisation gap, held-out less training; mean over the seeds."""
        return float((self.ends[:, 1] - self.ends[:, 0]).mean())


def path_of(row: Row) -> Path | None:
    """A row's path, or None if no seed of it looked at held-out images."""
    runs = [_both(run) for run in row.runs]
    runs = [run for run in runs if run.history]
    found = [
        curve(runs, metric=metric, position=lambda moment: moment.iteration)
        for metric in (TRAINING, HELD_OUT)
    ]
    training, held_out = found
    if training is None or held_out is None:
        return None
    last = [run.history[-1].metrics for run in runs]
    ends = np.array([[metrics[TRAINING], metrics[HELD_OUT]] for metrics in last])
    return Path(training=training.mean, held_out=held_out.mean, ends=ends)


def _both(run: Record) -> Record:
    """A run with those measurements that have both distances."""
    kept = [m for m in run.history if TRAINING in m.metrics and HELD_OUT in m.metrics]
    return run.model_copy(update={"history": tuple(kept)})


def draw_trade_off(blocks: Sequence[Block]) -> bytes | None:
    """Draws one square of axes per dataset, datasets below each other, as PNG.

    Args:
        blocks: the table's blocks.

    Returns:
        None if no row of any block has a path.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pairs = [(block, [(row, path_of(row)) for row in block.rows]) for block in blocks]
    walked = [(block, [(row, p) for row, p in rows if p is not None]) for block, rows in pairs]
    walked = [(block, rows) for block, rows in walked if rows]
    if not walked:
        return None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc would change the picture
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(walked)), dpi=120)
        FigureCanvasAgg(figure)
        for number, (block, rows) in enumerate(walked):
            _draw(figure, block, rows, bottom=_HEIGHT * (len(walked) - 1 - number))
        buffer = io.BytesIO()
        # Without the version of matplotlib in it, equal pictures are equal files.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(figure: Figure, block: Block, rows: Sequence[tuple[Row, Path]], *, bottom: float) -> None:
    """One dataset's axes, ``bottom`` inches above the figure's lower edge."""
    total = float(figure.get_figheight())
    heading = f"{title(block.dataset)} (n = {block.n:,})"
    top = (bottom + _BOTTOM + _SIDE + 0.35) / total
    figure.text(_LEFT / _WIDTH, top, heading, fontsize=13, fontweight="bold", va="center")
    by_size = colours(block.rows)
    both, alone = (
        figure.add_axes(
            (
                (_LEFT + column * (_SIDE + _BETWEEN)) / _WIDTH,
                (bottom + _BOTTOM) / total,
                _SIDE / _WIDTH,
                _SIDE / total,
            )
        )
        for column in (0, 1)
    )
    for row, path in rows:
        colour, ends = by_size[row.m], path.ends
        label = f"{row_words(row)}: last gap {path.gap:+.2f}"
        _draw_path(both, path.training, path.held_out, row, colour=colour, label=label)
        gap = path.held_out - path.training
        _draw_path(alone, path.training, gap, row, colour=colour, label="")
        if len(ends) > 1:
            x, y = ends.T
            both.plot(x, y, "o", color=colour, markersize=3.5)
            alone.plot(x, y - x, "o", color=colour, markersize=3.5)
    _scale(both, alone, block, [path for _, path in rows])
    for ax, word in ((both, "held-out images to generated ones"), (alone, "generalisation gap")):
        ax.set_xlabel("mode drop: training images to generated ones\n(mean pixel l1, grey levels)")
        ax.set_ylabel(f"{word}\n(mean pixel l1, grey levels)")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="0.92", linewidth=0.8)
        ax.set_axisbelow(True)
    corner = (_LEFT + 2 * _SIDE + _BETWEEN + 0.2, bottom + _BOTTOM + _SIDE + 0.05)
    figure.legend(
        *both.get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(corner[0] / _WIDTH, corner[1] / total),
        frameon=False,
        fontsize=9.5,
    )


def _draw_path(ax: Axes, x: Floats, y: Floats, row: Row, *, colour: str, label: str) -> None:
    """A line, an open circle where it starts, a full one where it ends, and arrows of time."""
    ax.plot(x, y, color=colour, linestyle=line_style(row), linewidth=1.6, label=label)
    ax.plot(x[:1], y[:1], "o", color=colour, markerfacecolor="white", markersize=7, zorder=3)
    ax.plot(x[-1:], y[-1:], "o", color=colour, markersize=7, zorder=4)
    # By distance on a logarithmic axis: most measurements lie close together at the end.
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(np.log(np.maximum(x, 1e-3)))))])
    for share in _ARROWS if along[-1] > 0 else ():
        stop = int(np.searchsorted(along, share * along[-1]))
        ax.annotate(
            "",
            xy=(x[stop], y[stop]),
            xytext=(x[stop - 1], y[stop - 1]),
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 0, "mutation_scale": 14},
        )


def _scale(both: Axes, alone: Axes, block: Block, paths: Sequence[Path]) -> None:
    """Equal axes, logarithmic unless a copy is exact; the diagonal and held-out real images."""
    from matplotlib.ticker import LogLocator, NullLocator

    values = [part for p in paths for part in (p.training, p.held_out, p.ends.ravel())]
    if block.baseline is not None:
        copies, fresh = block.baseline.mean.overfitting_mean, block.baseline.mean.mode_drop_mean
        values.append(np.array([copies, fresh]))
        line = f"exact copies of the training images: {copies:.2f}"
        both.axhline(copies, color="0.45", linestyle=":", label=line)
        line = f"held-out images as generated ones: {fresh:.2f}"
        both.axvline(fresh, color="0.45", linestyle="-.", linewidth=1.2, label=line)
        alone.axvline(fresh, color="0.45", linestyle="-.", linewidth=1.2)
    together = np.concatenate(values)
    low, high = float(together.min()), float(together.max())
    limits = (low / 1.15, high * 1.15) if low > 0 else (0.0, (high or 1.0) * 1.05)
    if low > 0:
        both.set_yscale("log")
        for ax in (both, alone):
            ax.set_xscale("log")
        for axis in (both.xaxis, both.yaxis, alone.xaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    both.set(xlim=limits, ylim=limits)
    alone.set(xlim=limits)
    both.plot(limits, limits, color="0.25", linewidth=0.9, label="equal: nothing memorised")
    alone.axhline(0.0, color="0.25", linewidth=0.9)
    both.plot([], [], "o", color="0.4", markerfacecolor="white", label="first measurement")
    both.plot([], [], "o", color="0.4", label="last measurement; small: each seed's")
