"""What else was measured along training: noise of the gradients, probe of D's features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ganstoch.report import figures
from ganstoch.report.figures import figure, png, settings, styled
from ganstoch.report.formatting import setting_words
from ganstoch.report.frame import curve, history, lines
from ganstoch.report.published import title
from ganstoch.report.run_files import PLAYERS, GradientNoise, read_gradient_noise, read_probe
from ganstoch.report.tables import DIRECTIONS

_SIGNAL, _NOISE = "#1f5fa8", "#c2571a"
_MARKS = {"discriminator": "-", "generator": ":"}
_ACCURACIES = {
    "accuracy": ("pixels", "test accuracy (%)"),
    "train_accuracy": ("pixels_train", "accuracy on the probe's training images (%)"),
}


def noise_track(histories: Sequence[GradientNoise], player: str) -> pd.DataFrame:
    """A player's signal and noise by iteration: means where all seeds were measured."""
    seeds = [
        pd.DataFrame(
            [{"iteration": p.iteration, **getattr(p, player).model_dump()} for p in each.history]
        ).set_index("iteration")[["signal", "noise"]]
        for each in histories
    ]
    return pd.concat(seeds, axis=1, join="inner").T.groupby(level=0).mean().T.sort_index()


def overtaken(track: pd.DataFrame) -> int | None:
    """The first iteration from which on noise exceeds signal half of the time or more, or None."""
    above = track.noise > track.signal
    # Not at the start, where G's gradient is small because nothing is trained yet.
    for place in above.index[above & (above.index > 0)]:
        if above.loc[place:].mean() >= 0.5:
            return int(place)
    return None


@styled
def draw_gradient_noise(runs: pd.DataFrame) -> bytes | None:
    """When the noise of the gradients overtakes their signal [Yazici et al. 2020, Sec. 3], PNG."""
    measured = []
    for row, group in settings(runs):
        files = [read_gradient_noise(folder) for folder in group.folder if folder is not None]
        if histories := [each for each in files if each is not None]:
            measured.append((row, group, histories))
    if not measured:
        return None
    made, axes = figure(len(measured), 3, size=(4.2, 2.3), sharey="col", sharex="row")
    for line, (row, group, histories) in zip(axes, measured, strict=True):
        for ax, player in zip(line, PLAYERS, strict=False):
            track = noise_track(histories, player)
            _draw_player(ax, track)
            if (place := overtaken(track)) is not None:
                for each in (ax, line[2]):
                    mark = {"color": _NOISE, "linestyle": _MARKS[player], "linewidth": 1.2}
                    each.axvline(place, label=f"noise overtakes signal, {player}", **mark)
        for look, (name, metric) in zip(("-", "--"), DIRECTIONS.items(), strict=True):
            each = curve(history(group), metric)["mean"]
            line[2].plot(each, color="0.2", linestyle=look, label=name.replace("_", " "))
            line[2].plot(each[each == each.min()], "o", color="0.2", markersize=4)
        estimated = " (estimated)" if histories[0].draws is not None else ""
        name = f"{title(row.dataset)}, " if runs.dataset.nunique() > 1 else ""
        line[0].set_title(f"{name}{setting_words(row)}{estimated}", loc="left", fontweight="bold")
    for ax, head in zip(axes[0], (*PLAYERS, "distances; dots: lowest"), strict=True):
        ax.set_title(head, loc="right")
    axes[0][2].set_ylim(bottom=0.0)
    for ax in axes[-1]:
        ax.set_xlabel("iterations")
    handles = {
        label: handle
        for ax in axes.flat
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    made.legend(list(handles.values()), list(handles), loc="outside right upper")
    return png(made)


def _draw_player(ax: Axes, track: pd.DataFrame) -> None:
    """Signal and noise; where the noise is larger, the ground is shaded."""
    for name, color, label in (
        ("signal", _SIGNAL, "signal $|g|^2$"),
        ("noise", _NOISE, r"noise $\mathrm{tr}\,\Sigma_m$"),
    ):
        values = track[name].where(track[name] > 0)
        ax.plot(values, color=color, label=label, marker="o" if len(track) == 1 else "")
    where = (track.noise > track.signal).to_numpy()
    ax.fill_between(
        track.index, 0, 1, where=where, transform=ax.get_xaxis_transform(), color=_NOISE,
        alpha=0.10, linewidth=0, label="noise above signal",
    )  # fmt: skip
    if not track.noise.any():
        ax.text(0.98, 0.06, "no noise: the full batch", transform=ax.transAxes, ha="right")
    ax.set_yscale("log")


@styled
def draw_probe(runs: pd.DataFrame) -> bytes | None:
    """Accuracy of a linear probe on D's features, on new and on fitted images, PNG."""
    probes: Any = [None if row.folder is None else read_probe(row.folder) for row in lines(runs)]
    probed = runs.assign(probe=probes).dropna(subset=["probe"])
    if probed.empty:
        return None
    datasets = [own for _, own in probed.groupby("dataset", sort=False)]
    made, axes = figure(len(datasets), 2, size=(5.2, 3.6))
    for line, own in zip(axes, datasets, strict=True):
        colors = figures.palette(own)
        for ax, (name, (pixels, words)) in zip(line, _ACCURACIES.items(), strict=True):
            for row, group in settings(own):
                points = pd.DataFrame(
                    {"seed": run.seed, **point.model_dump()}
                    for run in lines(group)
                    for point in run.probe.moments
                )
                each, label = 100.0 * curve(points, name), setting_words(row)
                if ax is line[0]:
                    best, last = each["mean"].max(), each["mean"].iloc[-1]
                    label += f": best {best:.1f}, last {last:.1f}"
                look = {"color": colors[row.m], "linestyle": figures.style(row), "label": label}
                figures.band(ax, each, seeds=len(group), **look)
            level = 100 * np.mean([getattr(probe, pixels) for probe in own.probe])
            ax.axhline(level, color="0.45", linestyle=":", label="of raw pixels")
            if name == "accuracy":
                chance = 100 * np.mean([probe.chance for probe in own.probe])
                ax.plot([], [], " ", label=f"chance: {chance:.1f}")
            ax.set_xlabel("iterations")
            ax.set(ylabel=words, ylim=(None, min(ax.get_ylim()[1], 100.5)))
        figures.heading(line[0], own, ": a linear probe of D's features")
        figures.legend(line[1], line[0])
    return png(made)
