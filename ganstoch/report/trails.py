"""`trail.npz`: the points a generator made along its training, read back, checked and projected."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ganstoch.errors import UserError
from ganstoch.report.world_rows import World, WorldKey, world_key

__all__ = ["Floats", "SampleHistory", "Scene", "read_trail", "scenes"]

Floats = npt.NDArray[np.float32]

_MARGIN = 0.25  # around the data, as a share of its extent


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleHistory:
    """Generated points over training.

    Attributes:
        iterations: when they were drawn, rising, shape (T,).
        samples: the points, shape (T, S, D).
        real: points of the data, shape (R, D).
    """

    iterations: npt.NDArray[np.int64]
    samples: Floats
    real: Floats

    def moment(self, iteration: int) -> int:
        """Index of the last moment no later than an iteration; of the first before there is one."""
        return max(int(np.searchsorted(self.iterations, iteration, side="right")) - 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A world's trails in one window.

    Attributes:
        heading: the world in words.
        labels: of the rows that left a trail.
        trails: one per label, in one dimension or two.
        seeds: of the runs shown, one per label.
        low: lower corner of the window, shape (D,).
        high: upper corner of the window, shape (D,).
    """

    heading: str
    labels: tuple[str, ...]
    trails: tuple[SampleHistory, ...]
    seeds: tuple[int, ...]
    low: Floats
    high: Floats

    @property
    def iterations(self) -> npt.NDArray[np.int64]:
        """Every iteration at which some trail has points, rising."""
        return np.unique(np.concatenate([trail.iterations for trail in self.trails]))

    @property
    def flat(self) -> bool:
        """Whether points have one coordinate, so that time takes the second axis."""
        return self.low.shape == (1,)


def read_trail(path: Path) -> SampleHistory | None:
    """Reads a run's trail; None if the run left none.

    Raises:
        UserError: if the file is damaged or its arrays do not fit together.
    """
    if not path.exists():
        return None
    fix = "remove the run's folder to run that row again"
    try:
        # `allow_pickle=False`: a file of points must not be able to run code.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            iterations, samples, real = (stored[name] for name in ("iterations", "samples", "real"))
    except KeyError as error:
        raise UserError(f"{path} lacks iterations, samples or real; {fix}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); {fix}") from error
    fits = (
        iterations.dtype == np.int64
        and samples.dtype == real.dtype == np.float32
        and (iterations.ndim, samples.ndim, real.ndim) == (1, 3, 2)
        and len(iterations) == len(samples) > 0
        and samples.shape[1] > 0
        and samples.shape[2] == real.shape[1] > 0
        and len(real) > 0
        and bool(np.all(np.diff(iterations) > 0))
        and bool(np.isfinite(real).all())
    )
    if not fits:
        raise UserError(
            f"{path}: iterations (T,) must rise, samples (T, S, D) and real (R, D) be float32; "
            f"{fix}"
        )
    return SampleHistory(iterations=iterations, samples=samples, real=real)


def scenes(tables: Sequence[World], *, folders: Mapping[WorldKey, Path]) -> tuple[Scene, ...]:
    """The trails of every world that has some, each row's from its first seed with one.

    Raises:
        UserError: if a file is damaged, or if a world's trails differ in their coordinates.
    """
    found = [_scene(world, folders=folders) for world in tables]
    return tuple(scene for scene in found if scene is not None)


def _scene(world: World, *, folders: Mapping[WorldKey, Path]) -> Scene | None:
    labels, trails, seeds = [], [], []
    for row in world.rows:
        for run in row.runs:
            trail = read_trail(folders[world_key(run)] / "trail.npz")
            if trail is not None:
                labels.append(row.label)
                trails.append(trail)
                seeds.append(run.seed)
                break
    if not trails:
        return None
    coordinates = {trail.real.shape[1] for trail in trails}
    if len(coordinates) > 1:
        raise UserError(
            f"the trails of {world.dataset} have {sorted(coordinates)} coordinates; remove the "
            "folders of one kind and run those rows again"
        )
    (size,) = coordinates
    heading = world.protocol.title
    if size > 2:
        axes = _principal(trails[0].real)
        trails = [_projected(trail, axes) for trail in trails]
        heading += f" (first two principal axes of {size:,})"
    real = trails[0].real
    low, high = real.min(0), real.max(0)
    # Square, so that a ring is round.
    centre, reach = (low + high) / 2, float((high - low).max()) * (0.5 + _MARGIN) or 1.0
    return Scene(
        heading=heading,
        labels=tuple(labels),
        trails=tuple(trails),
        seeds=tuple(seeds),
        low=(centre - reach).astype(np.float32),
        high=(centre + reach).astype(np.float32),
    )


def _principal(real: Floats) -> Floats:
    """The two directions (D, 2) in which the data spread most; the largest entry is positive."""
    centred = real.astype(np.float64) - real.mean(0, dtype=np.float64)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2].T
    largest = axes[np.abs(axes).argmax(0), range(axes.shape[1])]
    return np.asarray(axes * np.sign(largest), dtype=np.float32)


def _projected(trail: SampleHistory, axes: Floats) -> SampleHistory:
    return SampleHistory(
        iterations=trail.iterations, samples=trail.samples @ axes, real=trail.real @ axes
    )
