"""What a run leaves beside its record: gradient noise, probe, images, points; read and checked."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from ganstoch.errors import UserError
from ganstoch.records import FileModel, decode, read_json

GRADIENT_NOISE = "gradient_noise.json"
PLAYERS = ("discriminator", "generator")
COUNT = 10  # images in a strip, as in the paper's figures

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
_FIX = "remove the run's folder to run that row again"

_Whole = Annotated[int, Field(ge=0)]


class PlayerNoise(FileModel):
    """A player's gradient at one point of training.

    Attributes:
        signal: squared norm of the full gradient; of an estimate possibly below 0.
        noise: trace of the covariance of the mini-batch's gradient.
        ratio: signal over noise; None without noise.
        critical_batch: the batch size at which both would be equal, drawn with replacement; None
            without signal.
    """

    signal: float
    noise: float
    ratio: float | None
    critical_batch: float | None


class NoisePoint(FileModel):
    """Both players after some iterations."""

    iteration: _Whole
    discriminator: PlayerNoise
    generator: PlayerNoise


def _rising(points: tuple[Any, ...]) -> tuple[Any, ...]:
    iterations = [point.iteration for point in points]
    if not iterations or iterations != sorted(set(iterations)):
        raise ValueError("iterations must rise, one or more")
    return points


class GradientNoise(FileModel):
    """A run's `gradient_noise.json`.

    Attributes:
        every: iterations between measurements.
        sampling: how mini-batches are drawn; n, m, bank and noise as in the run's record.
        draws: what an estimate rests on; None where the values are exact.
    """

    every: _Whole
    n: _Whole
    m: _Whole
    bank: int | None = None
    noise: float = 0.0
    sampling: str = ""
    draws: _Whole | None
    history: Annotated[tuple[NoisePoint, ...], AfterValidator(_rising)]
    layout: Literal[1] = Field(alias="schema")


class ProbePoint(FileModel):
    """The linear probe at one point of a run.

    Attributes:
        iteration: D+G iterations done; 0 for the discriminator before training.
        accuracy: share of the test images whose class the probe names, in [0, 1].
        train_accuracy: share of the images that the probe was fitted on, in [0, 1].
    """

    iteration: _Whole
    accuracy: float
    train_accuracy: float


class ProbeTrack(FileModel):
    """A run's `probe.json`.

    Attributes:
        pixels: accuracy of the same probe on the pixels in place of features, in [0, 1].
        pixels_train: the same, of the images that it was fitted on.
        chance: accuracy of always naming the commonest class, in [0, 1].
        fitted_on: number of images, all of which the discriminator trains on.
        test: "held_out" where the test images are none that the discriminator trains on; "train"
            where the source has no others with classes, and a share was put aside from the probe.
    """

    moments: Annotated[tuple[ProbePoint, ...], AfterValidator(_rising)]
    pixels: float
    pixels_train: float
    chance: float
    fitted_on: _Whole
    tested_on: _Whole
    test: Literal["held_out", "train"]
    layout: Literal[1] = Field(default=1, alias="schema")


def read_gradient_noise(folder: Path) -> GradientNoise | None:
    """A run's gradient noise, None if it left none; a `UserError` if the file is damaged."""
    noise: GradientNoise | None = _read(GradientNoise, folder / GRADIENT_NOISE)
    return noise


def read_probe(folder: Path) -> ProbeTrack | None:
    """A run's linear probe, None if it left none; a `UserError` if the file is damaged."""
    probe: ProbeTrack | None = _read(ProbeTrack, folder / "probe.json")
    return probe


def _read(model: type[FileModel], path: Path) -> Any:
    if not path.exists():
        return None
    return decode(model, read_json(path, fix=_FIX), str(path), fix=_FIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStrips:
    """A block of Figure 1 or 2.

    Attributes:
        queries: the images whose neighbors were sought, shape (N, H, W, 3).
        pixel: their nearest neighbors by pixel l1, of the same shape.
        feature: their nearest neighbors by feature l2, of the same shape, or None.
        feature_name: the feature network in words, empty without one.
    """

    queries: Bytes
    pixel: Bytes
    feature: Bytes | None
    feature_name: str


def read_strips(folder: Path, *, direction: str) -> ImageStrips | None:
    """One direction's images out of `panels.npz`, at most ten of each kind; None without the file.

    The direction is ``overfitting`` or ``mode_drop``. A `UserError` tells of a damaged file, or of
    arrays that do not fit together.
    """
    path = folder / "panels.npz"
    stored = _arrays(path, direction)
    if stored is None:
        return None
    kinds = {name.removeprefix(f"{direction}_"): array[:COUNT] for name, array in stored.items()}
    features = sorted(set(kinds) - {"queries", "pixel_l1"}, key=lambda k: ("inception" not in k, k))
    shown = [kinds.get(kind) for kind in ("queries", "pixel_l1", *features[:1])]
    shapes: set[tuple[int, ...]] = {
        a.shape if a is not None and a.dtype == np.uint8 else () for a in shown
    }
    if len(shapes) > 1 or len(shape := shapes.pop()) != 4 or shape[1] not in (1, 3):
        raise UserError(f"{path}: {direction}_* must be uint8 of one shape (N, 3, H, W); {_FIX}")
    name = features[0].removesuffix("_l2").removesuffix("_l1") if features else ""
    return ImageStrips(
        queries=_upright(kinds["queries"]),
        pixel=_upright(kinds["pixel_l1"]),
        feature=_upright(kinds[features[0]]) if features else None,
        feature_name=name.replace("_", " "),
    )


def _upright(images: Bytes) -> Bytes:
    """(N, C, H, W) with one channel or three to (N, H, W, 3)."""
    last = images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.broadcast_to(last, (*last.shape[:3], 3)))


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

    def at(self, iteration: int) -> Floats:
        """The points (S, D) no later than an iteration; the first before there are any."""
        place = int(np.searchsorted(self.iterations, iteration, side="right")) - 1
        return np.asarray(self.samples[max(place, 0)])

    def projected(self, axes: Floats) -> SampleHistory:
        """The same points along axes (D, 2)."""
        return replace(self, samples=self.samples @ axes, real=self.real @ axes)


def read_samples(folder: Path) -> SampleHistory | None:
    """A run's generated points over training out of `trail.npz`; None if the run left none.

    A `UserError` tells of a damaged file, or of arrays that do not fit together.
    """
    path = folder / "trail.npz"
    stored = _arrays(path)
    if stored is None:
        return None
    try:
        iterations, samples, real = (stored[name] for name in ("iterations", "samples", "real"))
        _, sampled, size = samples.shape
        fits = (
            (iterations.dtype, samples.dtype, real.dtype) == (np.int64, np.float32, np.float32)
            and iterations.shape == samples.shape[:1] != (0,)
            and real.shape == (len(real), size)
            and min(sampled, size, len(real)) > 0
            and bool(np.all(np.diff(iterations) > 0) and np.isfinite(real).all())
        )
    except (KeyError, ValueError, TypeError):
        fits = False
    if not fits:
        raise UserError(
            f"{path}: iterations (T,) must rise, samples (T, S, D) and real (R, D) be float32; "
            f"{_FIX}"
        )
    return SampleHistory(iterations=iterations, samples=samples, real=real)


def _arrays(path: Path, prefix: str = "") -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        # `allow_pickle=False`: a file of arrays must not be able to run code.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if name.startswith(prefix)}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); {_FIX}") from error
