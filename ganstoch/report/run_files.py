"""What a run leaves beside its record: gradient noise, probe, images, points; read and checked."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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
M = TypeVar("M", bound=FileModel)
_FIX = "remove the run's folder to run that row again"
_Whole = Annotated[int, Field(ge=0)]


class PlayerNoise(FileModel):
    """A player's gradient at one point of training."""

    signal: float  # squared norm of the full gradient; of an estimate possibly below 0
    noise: float  # trace of the covariance of the mini-batch's gradient
    ratio: float | None  # signal over noise; None without noise
    critical_batch: float | None  # where both would be equal; None without signal


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
    """A run's `gradient_noise.json`; n, m, bank and noise as in the run's record."""

    every: _Whole  # iterations between measurements
    n: _Whole
    m: _Whole
    bank: int | None = None
    noise: float = 0.0
    sampling: str = ""  # how mini-batches are drawn
    draws: _Whole | None  # what an estimate rests on; None where the values are exact
    history: Annotated[tuple[NoisePoint, ...], AfterValidator(_rising)]
    layout: Literal[1] = Field(alias="schema")


class ProbePoint(FileModel):
    """The linear probe at one point of a run; 0 is the discriminator before training."""

    iteration: _Whole
    accuracy: float  # share of the test images whose class the probe names
    train_accuracy: float  # of the images that it was fitted on


class ProbeTrack(FileModel):
    """A run's `probe.json`; accuracies lie in [0, 1]."""

    moments: Annotated[tuple[ProbePoint, ...], AfterValidator(_rising)]
    pixels: float  # accuracy of the same probe on the pixels in place of features
    pixels_train: float
    chance: float  # accuracy of always naming the commonest class
    fitted_on: _Whole  # images, all of which the discriminator trains on
    tested_on: _Whole
    # "train" where no other images have classes: a share of them was put aside from the probe.
    test: Literal["held_out", "train"]
    layout: Literal[1] = Field(default=1, alias="schema")


def read_gradient_noise(folder: Path) -> GradientNoise | None:
    """A run's gradient noise, None if it left none; a `UserError` if the file is damaged."""
    return _read(GradientNoise, folder / GRADIENT_NOISE)


def read_probe(folder: Path) -> ProbeTrack | None:
    """A run's linear probe, None if it left none; a `UserError` if the file is damaged."""
    return _read(ProbeTrack, folder / "probe.json")


def _read(model: type[M], path: Path) -> M | None:
    return decode(model, read_json(path, fix=_FIX), str(path), fix=_FIX) if path.exists() else None


def read_strips(folder: Path, *, direction: str) -> dict[str, Bytes] | None:
    """Queries and their neighbors (N, H, W, 3), N at most 10, by space, if a run left any."""
    path = folder / "panels.npz"
    if (stored := _arrays(path, f"{direction}_")) is None:
        return None
    strips = {}
    for name in ("queries", "pixel_l1", *sorted(set(stored) - {"queries", "pixel_l1"})):
        label = name.removesuffix("_l1").removesuffix("_l2").replace("_", " ")
        strips[label] = stored.get(name, np.empty(0))
    (dtype, shape), *others = {(images.dtype, images.shape) for images in strips.values()}
    if others or dtype != np.uint8 or len(shape) != 4 or shape[1] not in (1, 3):
        raise UserError(f"{path}: {direction}_* must be uint8 of one shape (N, 3, H, W); {_FIX}")
    upright = {name: images[:COUNT].transpose(0, 2, 3, 1) for name, images in strips.items()}
    return {name: np.broadcast_to(a, (*a.shape[:3], 3)) for name, a in upright.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleHistory:
    """Generated points over training."""

    iterations: npt.NDArray[np.int64]  # when they were drawn, rising, shape (T,)
    samples: Floats  # (T, S, D)
    real: Floats  # points of the data, (R, D)

    def at(self, iteration: int) -> Floats:
        """The points (S, D) no later than an iteration; the first before there are any."""
        place = int(np.searchsorted(self.iterations, iteration, side="right")) - 1
        return np.asarray(self.samples[max(place, 0)])


def read_samples(folder: Path) -> SampleHistory | None:
    """A run's `trail.npz`; None if it left none, a `UserError` if the file is damaged."""
    path = folder / "trail.npz"
    if (stored := _arrays(path)) is None:
        return None
    names = ("iterations", "samples", "real")
    iterations, samples, real = (stored.get(name, np.empty(0)) for name in names)
    if not (
        (iterations.dtype, samples.dtype, real.dtype) == (np.int64, np.float32, np.float32)
        and (samples.ndim, real.ndim) == (3, 2)
        and iterations.shape == samples.shape[:1]
        and samples.shape[2] == real.shape[1]
        and samples.size * real.size > 0
        and (np.diff(iterations) > 0).all()
        and np.isfinite(real).all()
    ):
        layout = "iterations (T,) must rise, samples (T, S, D) and real (R, D) be float32"
        raise UserError(f"{path}: {layout}; {_FIX}")
    return SampleHistory(iterations=iterations, samples=samples, real=real)


def _arrays(path: Path, prefix: str = "") -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        # `allow_pickle=False`: a file of arrays must not be able to run code.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names = [name for name in stored.files if name.startswith(prefix)]
            return {name.removeprefix(prefix): stored[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); {_FIX}") from error
