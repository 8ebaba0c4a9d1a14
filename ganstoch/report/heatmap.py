"""`remedies.png`: both distances of every remedy and setting, coloured by the change from plain."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganstoch.report.remedy_rows import DIRECTIONS, Direction, RemedyTable, value
from ganstoch.report.words import PERCENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_heatmap"]

# Inches.
_CELL_WIDTH, _CELL_HEIGHT = 1.05, 0.52
_BETWEEN, _RIGHT, _ABOVE, _BELOW = 0.35, 1.25, 1.3, 0.2
_PER_LETTER = 0.085  # width of a label's letter, generously
_COLOURS = "RdBu_r"  # blue below plain, red above: apart for colour-blind readers too
_FOOT = 0.55  # for the footer
_FOOTER = (
    "Blue: lower than plain in the same column; red: higher.\n"
    "Lower mode drop is better; lower overfitting is nearer to the data, down to copies."
)
_LEAST, _MOST = 0.1, 1.0  # change at the ends of the colours: a tenth at least, the double at most


def draw_heatmap(tables: Sequence[RemedyTable]) -> bytes:
    """Draws two panels per dataset, overfitting and mode drop, as PNG.

    Blue cells are lower than plain in the same column, red ones higher. Lower mode drop is better;
    lower overfitting means nearer to the data, so copied.

    Args:
        tables: at least one.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    left = 0.3 + _PER_LETTER * max(len(label) for table in tables for label in table.remedies)
    columns = max(len(table.columns) for table in tables)
    width = max(left + 2 * columns * _CELL_WIDTH + _BETWEEN + _RIGHT, 6.5)
    heights = [_ABOVE + _CELL_HEIGHT * len(table.remedies) + _BELOW for table in tables]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc would change the picture
        figure = Figure(figsize=(width, sum(heights) + _FOOT), dpi=120)
        FigureCanvasAgg(figure)
        top = sum(heights) + _FOOT
        for table, height in zip(tables, heights, strict=True):
            _draw(figure, table, left=left, top=top)
            top -= height
        place = (0.15 / width, 0.3 / (sum(heights) + _FOOT))
        figure.text(*place, _FOOTER, fontsize=9, color="0.35", va="center")
        buffer = io.BytesIO()
        # Without the version of matplotlib in it, equal pictures are equal files.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(figure: Figure, table: RemedyTable, *, left: float, top: float) -> None:
    """One dataset's panels, ``top`` inches above the figure's lower edge."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    across, total = figure.get_size_inches()
    high = _CELL_HEIGHT * len(table.remedies)
    wide = _CELL_WIDTH * len(table.columns)
    bottom = top - _ABOVE - high
    figure.text(
        0.15 / across,
        (top - 0.3) / total,
        table.heading,
        fontsize=13,
        fontweight="bold",
        va="center",
    )
    limit = _limit(table)
    colours = ScalarMappable(Normalize(-limit, limit), colormaps[_COLOURS])
    for number, (direction, name) in enumerate(DIRECTIONS):
        x = left + number * (wide + _BETWEEN)
        ax = figure.add_axes((x / across, bottom / total, wide / across, high / total))
        _fill(ax, table, direction, colours=colours)
        ax.set_title(f"{name} (grey levels)", fontsize=11, pad=8)
        if number:
            ax.tick_params(labelleft=False)
    x = left + 2 * wide + _BETWEEN + 0.2
    bar = figure.add_axes((x / across, bottom / total, 0.16 / across, high / total))
    figure.colorbar(colours, cax=bar, ticks=[-limit, 0.0, limit])
    bar.set_yticklabels([f"{-100 * limit:+.0f}{PERCENT}", "plain", f"{100 * limit:+.0f}{PERCENT}"])
    bar.tick_params(labelsize=9, length=0)


def _limit(table: RemedyTable) -> float:
    changes = [
        abs(change)
        for label in table.remedies
        for column in table.columns
        for direction, _ in DIRECTIONS
        if (change := table.change(label, column, direction)) is not None
    ]
    return min(max([_LEAST, *changes]), _MOST)


def _fill(ax: Axes, table: RemedyTable, direction: Direction, *, colours: Any) -> None:
    from matplotlib.patches import Rectangle

    for y, label in enumerate(table.remedies):
        for x, column in enumerate(table.columns):
            row = table.cells.get((label, column))
            change = table.change(label, column, direction)
            colour = "0.94" if row is None else colours.to_rgba(change or 0.0)
            square = Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", linewidth=2)
            ax.add_patch(square)
            words = "-" if row is None else f"{value(row.mean, direction):.2f}"
            if change is not None:
                words += f"\n{100 * change:+.0f}{PERCENT}"
            pale = change is None or abs(change) < 0.6 * colours.norm.vmax
            ink = "black" if pale else "white"
            ax.text(x + 0.5, y + 0.5, words, ha="center", va="center", fontsize=9, color=ink)
    ax.set_xlim(0, len(table.columns))
    ax.set_ylim(len(table.remedies), 0)
    ax.set_xticks([x + 0.5 for x in range(len(table.columns))])
    ax.set_xticklabels([_heading(column.words) for column in table.columns], fontsize=9)
    ax.set_yticks([y + 0.5 for y in range(len(table.remedies))])
    ax.set_yticklabels(table.remedies, fontsize=10)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_color("0.8")


def _heading(words: str) -> str:
    """``m = n/16``, with what else there is below it."""
    first, *rest = words.split(", ")
    return "\n".join([f"m = {first}", *([", ".join(rest)] if rest else [])])
