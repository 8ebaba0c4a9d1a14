"""Synthetic data sets: modes over training; points as in Fig. 2 of Metz et al. 2017 (unrolled)."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes

from ganstoch.errors import UserError
from ganstoch.report.figures import band, figure, legend, png, settings, styled
from ganstoch.report.formatting import setting_words
from ganstoch.report.frame import curve, history, protocol
from ganstoch.report.published import published_synthetic
from ganstoch.report.run_files import Floats, SampleHistory, read_samples
from ganstoch.report.tables import HEADS, in_percent

_MARGIN = 0.25  # around the data, as a share of its extent
_BINS = 60
_COLUMNS = 6  # of the picture
_FRAMES = 40  # of the film, at most
_RATE = 8  # frames a second
_HOLD = 12  # frames that the film stays on the last one


@styled
def draw_synthetic_curves(runs: pd.DataFrame) -> bytes:
    """Modes, good samples and reverse KL over iterations, as PNG; dashed: published values."""
    groups = list(runs.groupby(["dataset", "protocol"], sort=False))
    made, axes = figure(len(groups), 3, size=(4.4, 3.2))
    known = published_synthetic()
    for line, ((dataset, name), own) in zip(axes, groups, strict=True):
        theirs = known[(known.dataset == dataset) & (known.protocol == name)].set_index("remedy")
        for ax, (column, (metric, heading, _)) in zip(line, HEADS.items(), strict=False):
            for number, (row, group) in enumerate(settings(own)):
                color = colormaps["tab10"](number % 10)
                each = curve(in_percent(history(group)), metric)
                look: dict[str, Any] = {"color": color, "label": _label(row, own)}
                if not each.empty:
                    band(ax, each, seeds=len(group), linestyle="-" if number < 10 else "-.", **look)
                if row.remedy in theirs.index and not row.noise:
                    ax.axhline(theirs[column][row.remedy], color=color, linestyle="--", linewidth=1)
            true = f"baseline/{metric}"
            if true in (percent := in_percent(own)):
                ax.axhline(percent[true].mean(), color="0.35", linestyle=":", label="true samples")
            ax.set(xlabel="iterations", ylabel=heading)
        line[0].set_ylim(bottom=0.0)
        line[0].set_title(_heading(own), loc="left", fontweight="bold")
        legend(line[2], line[0])
    return png(made)


def _heading(own: pd.DataFrame) -> str:
    own_protocol = protocol(own.record.iloc[0])
    return f"{own_protocol.title} ({own_protocol.name})"


def _label(row: Any, own: pd.DataFrame) -> str:
    several = len(own.drop_duplicates(["m", "noise", "bank"])) > 1
    return f"{row.remedy}, {setting_words(row)}" if several else str(row.remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A data set's points in one window, one or two coordinates."""

    heading: str
    samples: dict[str, SampleHistory]  # of each setting's first run that left some, by its name
    window: Floats  # lower and upper end of each coordinate, shape (D, 2)

    @property
    def iterations(self) -> list[int]:
        """All at which some setting has points, rising."""
        return sorted({int(i) for each in self.samples.values() for i in each.iterations})

    @property
    def real(self) -> Floats:
        """Points of the data, shape (R, D)."""
        return next(iter(self.samples.values())).real


def scenes(runs: pd.DataFrame) -> list[Scene]:
    """The points of every data set whose runs left some; a `UserError` if they do not match."""
    made = []
    for _, own in runs.groupby(["dataset", "protocol"], sort=False):
        samples = {}
        for row, group in settings(own):
            histories = (read_samples(folder) for folder in group.folder if folder is not None)
            if first := next((each for each in histories if each is not None), None):
                samples[_label(row, own)] = first
        if samples:
            made.append(_scene(own, samples))
    return made


def _scene(own: pd.DataFrame, samples: dict[str, SampleHistory]) -> Scene:
    sizes = {each.real.shape[1] for each in samples.values()}
    if len(sizes) > 1:
        points = f"the points of {own.dataset.iloc[0]} have {sorted(sizes)} coordinates"
        raise UserError(f"{points}; remove the folders of one kind and run those rows again")
    (size,) = sizes
    heading, real = _heading(own), next(iter(samples.values())).real
    if size > 2:
        axes = _principal(real)
        real = real @ axes
        samples = {
            name: replace(each, samples=each.samples @ axes, real=each.real @ axes)
            for name, each in samples.items()
        }
        heading += f", first two principal axes of {size:,}"
    low, high = real.min(0), real.max(0)
    # Square, so that a ring is round.
    center, reach = (low + high) / 2, float((high - low).max()) * (0.5 + _MARGIN) or 1.0
    corners = [(center + sign * reach).astype(np.float32) for sign in (-1, 1)]
    return Scene(heading=heading, samples=samples, window=np.stack(corners, axis=1))


def _principal(real: Floats) -> Floats:
    """The two directions (D, 2) in which the data spread most; the largest entry is positive."""
    centered = real.astype(np.float64) - real.mean(0, dtype=np.float64)
    axes = np.linalg.svd(centered, full_matrices=False)[2][:2].T
    largest = axes[np.abs(axes).argmax(0), range(axes.shape[1])]
    return np.asarray(axes * np.sign(largest), dtype=np.float32)


def density(scene: Scene, points: Floats) -> npt.NDArray[np.float64]:
    """Root of the share of the points (P, D) in each cell of the window, so that few still show."""
    with np.errstate(invalid="ignore"):  # a diverged run has points anywhere
        points = points[np.isfinite(points).all(1)]
    counts, _ = np.histogramdd(points, bins=_BINS, range=scene.window.tolist())
    counts = counts.T if counts.ndim == 2 else counts[None]
    return np.asarray(np.sqrt(counts / max(len(points), 1)))


def _draw(ax: Axes, scene: Scene, cells: npt.NDArray[np.float64]) -> Any:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    top = float(density(scene, scene.real).max()) * 0.35
    aspect: Literal["equal", "auto"] = "equal" if len(cells) > 1 else "auto"
    return ax.imshow(cells, origin="lower", cmap="Blues", vmin=0.0, vmax=top, aspect=aspect)


def _spread(values: Sequence[int], count: int) -> list[int]:
    places = np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)
    return [int(values[place]) for place in np.unique(places)]


@styled
def draw_modes(drawn: Sequence[Scene]) -> bytes:
    """The points of every setting at about six points of training, as PNG; darker is denser."""
    lines = [(scene, name) for scene in drawn for name in scene.samples]
    made, axes = figure(len(lines), _COLUMNS + 1, size=(1.4, 1.45))
    for line, (scene, name) in zip(axes, lines, strict=True):
        chosen = _spread(scene.iterations, _COLUMNS)
        panels = {f"{i:,}": scene.samples[name].at(i) for i in chosen} | {"data": scene.real}
        for ax in line:
            ax.axis("off" if len(panels) < len(line) else "on")
        first = name == next(iter(scene.samples))
        for ax, (heading, points) in zip(line, panels.items(), strict=False):
            ax.axis("on")
            _draw(ax, scene, density(scene, points))
            if first:
                ax.set_title(heading)
        line[0].set_ylabel(name)
        if first:
            line[0].set_title(f"{scene.heading}\n{line[0].get_title()}", loc="left")
            line[0].title.set_text("")
    return png(made)


@styled
def animate_modes(drawn: Sequence[Scene]) -> bytes:
    """Every setting over training as GIF, which stays on the last frame for a while."""
    width = max(len(scene.samples) for scene in drawn) + 1
    made, axes = figure(len(drawn), width, size=(1.5, 1.8))
    images = []
    for line, scene in zip(axes, drawn, strict=True):
        for ax in line:
            ax.axis("off")
        for ax, (name, each) in zip(line, [*scene.samples.items(), ("data", None)], strict=False):
            ax.axis("on")
            ax.set_title(name)
            images.append((scene, each, _draw(ax, scene, density(scene, scene.real))))
    iterations = _spread(sorted({i for scene in drawn for i in scene.iterations}), _FRAMES)

    def show(iteration: int) -> None:
        made.suptitle(f"iteration {iteration:,}")
        for scene, each, image in images:
            if each is not None:
                image.set_data(density(scene, each.at(iteration)))

    frames = [*iterations, *iterations[-1:] * _HOLD]
    film = FuncAnimation(made, show, frames=frames, init_func=lambda: None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "modes.gif"
        film.save(str(path), writer=PillowWriter(fps=_RATE), dpi=80)
        return path.read_bytes()
