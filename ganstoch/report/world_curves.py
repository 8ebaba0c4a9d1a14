"""`world_curves.png`: modes, good samples and reverse KL along training, a line per remedy."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganstoch.report.curves import curve
from ganstoch.report.quantities import KL, MODES, QUANTITIES, Quantity
from ganstoch.report.world_rows import World, WorldRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_world_curves"]

# Inches. Fixed places, because a layout engine takes longer than the drawing.
_AX_WIDTH, _AX_HEIGHT, _PITCH, _LEFT, _BOTTOM = 3.5, 2.6, 4.35, 0.75, 0.65
_WIDTH, _ROOM = 15.9, 0.75  # of the figure; above the axes
_LINE = 0.24  # height of a line of the legend

_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
"""Okabe and Ito's colours that colour-blind readers tell apart; black is the plain row's."""

_STYLES = ("-", "-.")  # a ninth remedy has the first colour again
_NAMES = {"good %": "good samples (%)", "reverse KL": "reverse KL (nats)", "modes": "modes found"}


def draw_world_curves(tables: Sequence[World]) -> bytes:
    """Draws three axes per world, worlds below each other, as PNG.

    A line is the mean over seeds, its band reaches from the lowest seed to the highest. Dashed: the
    published value of the remedy with that colour. Dotted: the perfect sampler.

    Args:
        tables: at least one world.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [_height(world) for world in tables]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc would change the picture
        figure = Figure(figsize=(_WIDTH, sum(heights)), dpi=120)
        FigureCanvasAgg(figure)
        top = sum(heights)
        for world, height in zip(tables, heights, strict=True):
            _draw(figure, world, top=top)
            top -= height
        buffer = io.BytesIO()
        # Without the version of matplotlib in it, equal pictures are equal files.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _height(world: World) -> float:
    """Inches a world needs: for its axes, or for a legend longer than these."""
    lines = sum(1 + _wrapped(row).count("\n") for row in world.rows)
    return _ROOM + max(_AX_HEIGHT + _BOTTOM, _LINE * (lines + 4))


def _wrapped(row: WorldRow) -> str:
    return textwrap.fill(row.label, 27)


def _draw(figure: Figure, world: World, *, top: float) -> None:
    total = float(figure.get_figheight())
    figure.text(
        _LEFT / _WIDTH,
        (top - 0.3) / total,
        world.heading,
        fontsize=13,
        fontweight="bold",
        va="center",
    )
    bottom = (top - _ROOM - _AX_HEIGHT) / total
    for column, quantity in enumerate(QUANTITIES):
        left = (_LEFT + column * _PITCH) / _WIDTH
        ax = figure.add_axes((left, bottom, _AX_WIDTH / _WIDTH, _AX_HEIGHT / total))
        _fill(ax, world, quantity)
    _explain(figure, world, corner=((_LEFT + 3 * _PITCH - 0.6) / _WIDTH, (top - _ROOM) / total))


def _look(number: int) -> tuple[str, str]:
    """Colour and line style of a world's row."""
    return _COLOURS[number % len(_COLOURS)], _STYLES[number // len(_COLOURS) % len(_STYLES)]


def _fill(ax: Axes, world: World, quantity: Quantity) -> None:
    heights: list[float] = []
    ends: list[float] = []
    for number, row in enumerate(world.rows):
        colour, style = _look(number)
        found = curve(row.runs, metric=quantity.metric, position=lambda moment: moment.iteration)
        if found is not None:
            mean, low, high = (y * quantity.factor for y in (found.mean, found.low, found.high))
            alone = "o" if len(mean) == 1 else ""
            ax.plot(found.x, mean, color=colour, linestyle=style, linewidth=1.8, marker=alone)
            if len(row.runs) > 1:
                ax.fill_between(found.x, low, high, color=colour, alpha=0.15, linewidth=0)
            heights += [float(low.min()), float(high.max())]
            ends.append(float(found.x[-1]))
        heights += _published(ax, row, quantity, colour=colour)
    perfect = world.perfect(quantity)
    if perfect is not None:
        ax.axhline(perfect.mean, color="0.35", linestyle=":", linewidth=1.6)
        heights.append(perfect.mean)
    _scale(ax, heights, quantity, of=world.of)
    ax.set_ylabel(_NAMES[quantity.name])
    ax.set_xlabel("iterations")
    if not ends:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color="0.4")
    else:
        ax.set_xlim(0.0, max(ends) * 1.02)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.locator_params(axis="x", nbins=5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)


def _published(ax: Axes, row: WorldRow, quantity: Quantity, *, colour: str) -> list[float]:
    if row.published is None or (theirs := getattr(row.published, quantity.column)) is None:
        return []
    ax.axhline(theirs.mean, color=colour, linestyle=(0, (5, 3)), linewidth=1.0, alpha=0.8)
    return [float(theirs.mean)]


def _scale(ax: Axes, heights: Sequence[float], quantity: Quantity, *, of: int) -> None:
    """Modes out of those there are; divergences that differ tenfold compared as ratios."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = (min(heights), max(heights)) if heights else (0.0, 1.0)
    if quantity is MODES:
        # A thousand modes of which a hundred are found: the room above would be empty.
        ax.set_ylim(0.0, 1.06 * (of if high > 0.5 * of else max(high, 1.0)))
    elif quantity is KL and low > 0 and high / low > 10:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.3, high * 1.3)
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 100 else (1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    elif quantity is KL:
        ax.set_ylim(0.0, (high or 1.0) * 1.06)
    else:
        ax.set_ylim(0.0, 104.0)


def _explain(figure: Figure, world: World, *, corner: tuple[float, float]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=1.8, label=_wrapped(row))
        for number, row in enumerate(world.rows)
        for colour, style in [_look(number)]
    ]
    if any(row.published for row in world.rows):
        dashed = (0, (5, 3))
        handles.append(
            Line2D([], [], color="0.35", linestyle=dashed, linewidth=1.0, label="published")
        )
    if any(world.perfect(quantity) for quantity in QUANTITIES):
        handles.append(Line2D([], [], color="0.35", linestyle=":", label="perfect sampler"))
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=corner, frameon=False, fontsize=10
    )
