"""One way to make a figure, and the figures of a table.

[1] Yazici et al. 2020: images with their neighbors (Fig. 1 and 2), generalization (Sec. 5 and 6).
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ganstoch.report.formatting import PERCENT, setting_words
from ganstoch.report.frame import SETTING, curve, history, lines, natural
from ganstoch.report.published import SCORES, title
from ganstoch.report.run_files import Bytes, read_strips
from ganstoch.report.tables import DIRECTIONS, remedies_csv

_STYLE = {
    "figure.dpi": 120,
    "figure.titlesize": "x-large",
    "figure.titleweight": "bold",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "legend.frameon": False,
    "lines.linewidth": 1.7,
}
_HELD_OUT = {"color": "0.45", "linestyle": ":", "label": "held-out real images"}
Direction = Literal["overfitting", "mode_drop"]
_WORDS: dict[Direction, tuple[str, str]] = {
    "overfitting": ("generated", "nearest data"),
    "mode_drop": ("data", "nearest generated"),
}
_TILE = 64  # pixels of an image, as nearly as a whole factor allows
_GAP = 2
TRAINING = SCORES["mode_drop_mean"]
HELD_OUT = "held_out_drop/pixel_l1/mean"
F = TypeVar("F", bound=Callable[..., Any])


def styled(draw: F) -> F:
    """Draws in the house's style, whatever a user's own matplotlibrc says."""
    return matplotlib.style.context(["default", _STYLE])(draw)


def figure(
    rows: int, columns: int, *, size: tuple[float, float], **shared: Any
) -> tuple[Figure, Any]:
    """A figure of axes, each of a size in inches, and the axes as an array (rows, columns)."""
    made = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False, **shared)


@styled
def histogram_svg(
    edges: Sequence[float], counts: Mapping[str, Sequence[int]], *, unit: str
) -> bytes:
    """Two histograms over the same bins, each as shares of its own count, as SVG."""
    made, ((axes,),) = figure(1, 1, size=(5, 2.6))
    styles = (("#3f7fbf", "-", 0.25), ("#c06a15", "--", 0.0))
    for (name, each), (color, line, alpha) in zip(counts.items(), styles, strict=False):
        shares = [count / max(1, sum(each)) for count in each]
        axes.stairs(shares, edges, color=color, linestyle=line, label=name, lw=1.5)
        axes.stairs(shares, edges, color=color, alpha=alpha, fill=True)
    axes.set_xlabel(unit)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    made.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def inline_svg(made: Figure) -> str:
    """A figure as an SVG element that takes the ink and the lines of the page around it."""
    buffer = io.StringIO()
    # Without a salt of its own each file has other ids; text stays text.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ganstoch"}):
        made.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    element = buffer.getvalue()
    element = element[element.index("<svg") :]
    return element.replace("#000000", "currentColor").replace("#ebebeb", "var(--line)")


def png(made: Figure) -> bytes:
    """A figure as PNG. Without matplotlib's version in it, equal figures are equal files."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def settings(runs: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Each setting of some runs: its first run, for its names, and all of its runs."""
    for _, group in runs.groupby(SETTING, sort=False, dropna=False):
        yield group.iloc[0], group


def palette(runs: pd.DataFrame) -> dict[int, str]:
    """A color per m from viridis, ordered for color-blind readers too; dark for large m."""
    sizes = sorted(runs.m.unique(), reverse=True)
    steps = np.linspace(0.0, 0.82, max(len(sizes), 2))
    return {m: to_hex(colormaps["viridis"](step)) for m, step in zip(sizes, steps, strict=False)}


def style(row: Any) -> str:
    """Dashed with noise on the latents, dash-dotted where the bank is not the paper's."""
    return "--" if row.noise else ("-" if row.bank == row.n else "-.")


def band(ax: Axes, line: pd.DataFrame, *, seeds: int, **look: Any) -> None:
    """A mean over seeds; its band reaches from the lowest seed to the highest."""
    ax.plot(line.index, line["mean"], marker="o" if len(line) == 1 else "", **look)
    if seeds > 1:
        shade = {"color": look["color"], "alpha": 0.18, "linewidth": 0}
        ax.fill_between(line.index, line.low, line.high, **shade)


def heading(ax: Axes, runs: pd.DataFrame, words: str = "") -> None:
    """The name and size of a data set, left above its first axes."""
    row = runs.iloc[0]
    ax.set_title(f"{title(row.dataset)} (n = {row.n:,}){words}", loc="left", fontweight="bold")


def legend(right: Axes, source: Axes) -> None:
    """The lines of one of a row's axes, explained right of the last of the row."""
    handles, labels = source.get_legend_handles_labels()
    if handles:
        right.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.02, 1.0))


def _logarithmic(values: Sequence[float], ratio: float) -> bool:
    return bool(len(values)) and min(values) > 0 and max(values) / min(values) > ratio


@styled
def draw_neighbors(runs: pd.DataFrame, *, direction: Direction) -> bytes:
    """Figure 1 (``overfitting``) or 2 (``mode_drop``) of [1] as PNG, of rows' first seeds."""
    datasets = [list(settings(own)) for _, own in runs.groupby("dataset", sort=False)]
    lines = max(len(own) for own in datasets)
    made, axes = figure(lines, len(datasets), size=(6.4, 1.95))
    for ax in axes.flat:
        ax.axis("off")
    for column, own in enumerate(datasets):
        for line, (row, _) in enumerate(own):
            ax, distance = axes[line][column], row[f"{direction}/pixel_l1/mean"]
            ax.set_title(f"{setting_words(row)}: {distance:.2f}", loc="left")
            strips = None if row.folder is None else read_strips(row.folder, direction=direction)
            if strips is None:
                ax.text(0, 0.5, "this run left no images")
                continue
            grid = _grid(strips)
            ax.imshow(grid, interpolation="nearest")
            query, nearest = _WORDS[direction]
            labels = [query, *(f"{nearest}\nby {space}" for space in list(strips)[1:])]
            for place, label in enumerate(labels):
                y = (place + 0.5) * grid.shape[0] / len(labels)
                ax.text(-8, y, label, ha="right", va="center", color="0.4")
        first, top = own[0][0], axes[0][column]
        words = f"{title(first.dataset)} (n = {first.n:,})\n{top.get_title(loc='left')}"
        top.set_title(words, loc="left")
    meaning = f"its run's {direction.replace('_', ' ')}, mean pixel l1 in grey levels"
    note = f"Above a block: {meaning}; lower is closer to the training data."
    made.supxlabel(note, fontsize=9)
    return png(made)


def _grid(strips: Mapping[str, Bytes]) -> Bytes:
    """The images of a block, a line a kind, enlarged by a whole factor."""
    factor = max(_TILE // max(strips["queries"].shape[1:3]), 1)
    lines = []
    for images in strips.values():
        large = images.repeat(factor, axis=1).repeat(factor, axis=2)
        framed = np.pad(large, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(framed), axis=1))
    return np.concatenate(lines)


@styled
def draw_curves(runs: pd.DataFrame) -> bytes:
    """Both mean distances over iterations and images seen, two rows of axes a data set, PNG."""
    datasets = [own for _, own in runs.groupby("dataset", sort=False)]
    made, axes = figure(2 * len(datasets), 2, size=(5.2, 2.9), sharey="row")
    for number, own in enumerate(datasets):
        colors = palette(own)
        for line, (name, metric) in enumerate(DIRECTIONS.items()):
            for ax, x in zip(axes[2 * number + line], ("iteration", "images_seen"), strict=True):
                heights, ends = list[float](), list[float]()
                for row, group in settings(own):
                    each = curve(history(group), metric, x=x)
                    if each.empty:
                        continue
                    look: dict[str, Any] = {"color": colors[row.m], "linestyle": style(row)}
                    band(ax, each, seeds=len(group), label=setting_words(row), **look)
                    heights += [each.low.min(), each.high.max()]
                    ends.append(each.index[-1])
                if f"baseline/{metric}" in own:
                    ax.axhline(own[f"baseline/{metric}"].mean(), **_HELD_OUT)
                if _logarithmic(ends, 5):
                    ax.set_xscale("log")
                if _logarithmic(heights, 10):
                    ax.set_yscale("log")
                else:
                    ax.set_ylim(bottom=0.0)
                ax.set_xlabel("iterations" if x == "iteration" else "images seen")
            axes[2 * number + line][0].set_ylabel(f"{name.replace('_', ' ')} (grey levels)")
        heading(axes[2 * number][0], own)
        legend(axes[2 * number][1], axes[2 * number][0])
    return png(made)


@styled
def draw_trade_off(runs: pd.DataFrame) -> bytes | None:
    """Generalization against mode drop: held-out images' distance over training images', PNG."""
    if HELD_OUT not in runs:
        return None
    datasets = [own for _, own in runs.dropna(subset=[HELD_OUT]).groupby("dataset", sort=False)]
    made, axes = figure(len(datasets), 2, size=(5.6, 4.6))
    for (both, gap), own in zip(axes, datasets, strict=True):
        colors = palette(own)
        for row, group in settings(own):
            points = history(group).dropna(subset=[TRAINING, HELD_OUT])
            x, y = (curve(points, key)["mean"] for key in (TRAINING, HELD_OUT))
            last = (group[HELD_OUT] - group[TRAINING]).mean()
            look: dict[str, Any] = {"color": colors[row.m], "linestyle": style(row)}
            label = f"{setting_words(row)}: last gap {last:+.2f}"
            for ax, height in ((both, y), (gap, y - x)):
                ax.plot(x, height, label=label, **look)
                ax.plot(x[:1], height[:1], "o", color=colors[row.m], markerfacecolor="white")
                ax.plot(x[-1:], height[-1:], "o", color=colors[row.m])
        limits = both.get_xlim()[0], max(both.get_xlim()[1], both.get_ylim()[1])
        both.plot(limits, limits, color="0.25", linewidth=0.9, label="equal: nothing memorized")
        gap.axhline(0.0, color="0.25", linewidth=0.9)
        if f"baseline/{TRAINING}" in own:
            for ax in (both, gap):
                ax.axvline(own[f"baseline/{TRAINING}"].mean(), **_HELD_OUT)
        both.set_ylabel("mode drop of held-out images (grey levels)")
        gap.set_ylabel("generalization gap (grey levels)")
        for ax in (both, gap):
            ax.set(xlabel="mode drop of training images (grey levels)", xscale="log")
        both.set_yscale("log")
        for axis in (both.xaxis, gap.xaxis, both.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("{x:g}")
        heading(both, own)
        legend(gap, both)
    return png(made)


@styled
def draw_heatmap(runs: pd.DataFrame) -> bytes:
    """Both distances of every remedy (down) and setting (across), colored by change, PNG."""
    table = remedies_csv(runs).query("remedy != 'held-out real'")
    datasets = list(table.groupby("dataset", sort=False))
    tallest = max(own.remedy.nunique() for _, own in datasets)
    widest = len(table.drop_duplicates(["m", "noise", "bank"]))
    made, axes = figure(len(datasets), 2, size=(1.15 * widest + 1.6, 0.42 * tallest + 1.2))
    for line, (dataset, own) in zip(axes, datasets, strict=True):
        labels = sorted(set(own.remedy), key=natural)
        first = runs[runs.dataset == dataset].drop_duplicates(["m", "noise", "bank"])
        heads = [setting_words(row, size=False).replace(", ", "\n") for row in lines(first)]
        keys = pd.MultiIndex.from_frame(own[["m", "noise", "bank"]].drop_duplicates())
        for ax, name in zip(line, DIRECTIONS, strict=True):
            means, changes = (
                own.pivot_table(index="remedy", columns=keys.names, values=f"{name}_{part}")
                .reindex(index=labels, columns=keys)
                .to_numpy()
                for part in ("mean", "change")
            )
            limit = float(np.clip(np.nanmax(np.abs(changes), initial=0.1), 0.1, 1.0))
            shades = np.where(np.isnan(means), np.nan, np.nan_to_num(changes))
            image = ax.imshow(shades, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
            for (y, x), value in np.ndenumerate(means):
                change = changes[y, x]
                words = "-" if np.isnan(value) else f"{value:.2f}"
                words += "" if np.isnan(change) else f" ({100 * change:+.0f}{PERCENT})"
                color = "white" if abs(np.nan_to_num(change)) > 0.6 * limit else "black"
                ax.text(x, y, words, ha="center", va="center", fontsize=8, color=color)
            ax.set_xticks(range(len(heads)), heads)
            ax.set_yticks(range(len(labels)), labels if ax is line[0] else [""] * len(labels))
            ax.xaxis.tick_top()
            ax.tick_params(length=0)
            ax.grid(False)
            ax.spines[:].set_visible(False)
            ax.set_title(f"{title(str(dataset))}: {name.replace('_', ' ')} (grey levels)")
        bar = made.colorbar(image, ax=line[-1], label="change from plain in the same column")
        bar.ax.yaxis.set_major_formatter(lambda change, _: f"{100 * change:+.0f}{PERCENT}")
    return png(made)
