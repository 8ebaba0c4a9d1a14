"""What a run leaves beside its record: gradient noise, probe, images, points; read and checked.

`gradient_noise.json` and `probe.json` are pydantic models; `panels.npz` and `trail.npz` are arrays.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ganstoch.errors import UserError
from ganstoch.records import STRICT, decode, read_json

__all__ = [
    "GRADIENT_NOISE",
    "PLAYERS",
    "GradientNoise",
    "ImageStrips",
    "PlayerNoise",
    "ProbePoint",
    "ProbeTrack",
    "SampleHistory",
    "read_gradient_noise",
    "read_probe",
    "read_samples",
    "read_strips",
]

GRADIENT_NOISE = "gradient_noise.json"
PLAYERS = ("discriminator", "generator")
COUNT = 10
"""Images in a strip, as in the paper's figures."""

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
_FIX = "remove the run's folder to run that row again"

_Whole = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, **STRICT)


class PlayerNoise(_Model):
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


class NoisePoint(_Model):
    """Both players after some iterations."""

    iteration: _Whole
    discriminator: PlayerNoise
    generator: PlayerNoise


def _check_rising(points: Iterable[NoisePoint | ProbePoint]) -> None:
    iterations = [point.iteration for point in points]
    if not iterations or iterations != sorted(set(iterations)):
        raise ValueError("iterations must rise, one or more")


class GradientNoise(_Model):
    """A run's `gradient_noise.json`.

    Attributes:
        every: iterations between measurements.
        n: images in the subset.
        m: logical mini-batch size.
        bank: number of fixed latents, None for fresh ones.
        noise: variance of the noise on the latents.
        sampling: how mini-batches are drawn.
        draws: what an estimate rests on; None where the values are exact.
        history: by rising iteration.
    """

    every: _Whole
    n: _Whole
    m: _Whole
    bank: int | None = None
    noise: float = 0.0
    sampling: str = ""
    draws: _Whole | None
    history: tuple[NoisePoint, ...]
    layout: Literal[1] = Field(alias="schema")

    @model_validator(mode="after")
    def _rises(self) -> GradientNoise:
        _check_rising(self.history)
        return self


class ProbePoint(_Model):
    """The linear probe at one point of a run.

    Attributes:
        iteration: D+G iterations done; 0 for the discriminator before training.
        accuracy: share of the test images whose class the probe names, in [0, 1].
        train_accuracy: share of the images that the probe was fitted on, in [0, 1].
    """

    iteration: _Whole
    accuracy: float
    train_accuracy: float


class ProbeTrack(_Model):
    """A run's `probe.json`.

    Attributes:
        moments: by rising iteration.
        pixels: accuracy of the same probe on the pixels in place of features, in [0, 1].
        pixels_train: the same, of the images that it was fitted on.
        chance: accuracy of always naming the commonest class, in [0, 1].
        fitted_on: number of images, all of which the discriminator trains on.
        tested_on: number of images.
        test: "held_out" where the test images are none that the discriminator trains on; "train"
            where the source has no others with classes, and a share was put aside from the probe.
    """

    moments: tuple[ProbePoint, ...]
    pixels: float
    pixels_train: float
    chance: float
    fitted_on: _Whole
    tested_on: _Whole
    test: Literal["held_out", "train"]
    layout: Literal[1] = Field(default=1, alias="schema")

    @model_validator(mode="after")
    def _rises(self) -> ProbeTrack:
        _check_rising(self.moments)
        return self


def read_gradient_noise(folder: Path) -> GradientNoise | None:
    """A run's gradient noise; None if the run left none.

    Raises:
        UserError: if the file is damaged or of another version.
    """
    found: GradientNoise | None = _read(GradientNoise, folder / GRADIENT_NOISE)
    return found


def read_probe(folder: Path) -> ProbeTrack | None:
    """A run's linear probe; None if the run left none.

    Raises:
        UserError: if the file is damaged or of another version.
    """
    found: ProbeTrack | None = _read(ProbeTrack, folder / "probe.json")
    return found


def _read(model: type[BaseModel], path: Path) -> Any:
    if not path.exists():
        return None
    return decode(model, read_json(path, fix=_FIX), str(path), fix=_FIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStrips:
    """A block of Figure 1 or 2.

    Attributes:
        queries: the images whose neighbors were sought, shape (N, H, W, 3).
        pixel: their nearest neighbors by pixel l1, shape (N, H, W, 3).
        feature: their nearest neighbors by feature l2, shape (N, H, W, 3), or None.
        feature_name: the feature network in words, empty without one.
    """

    queries: Bytes
    pixel: Bytes
    feature: Bytes | None
    feature_name: str


def read_strips(folder: Path, *, direction: str) -> ImageStrips | None:
    """One direction's images out of `panels.npz`, at most ten of each kind; None without the file.

    Args:
        folder: the run's.
        direction: ``overfitting`` or ``mode_drop``.

    Raises:
        UserError: if the file is damaged or its arrays do not fit together.
    """
    path = folder / "panels.npz"
    stored = _arrays(path, lambda name: name.startswith(direction))
    if stored is None:
        return None
    kinds = {name.removeprefix(f"{direction}_"): array[:COUNT] for name, array in stored.items()}
    features = sorted(set(kinds) - {"queries", "pixel_l1"}, key=lambda k: ("inception" not in k, k))
    first = kinds.get("queries")
    for kind in ("queries", "pixel_l1", *features[:1]):
        array = kinds.get(kind)
        fits = array is not None and array.dtype == np.uint8 and array.ndim == 4
        if (
            first is None
            or array is None
            or not fits
            or array.shape != first.shape
            or first.shape[1] not in (1, 3)
        ):
            raise UserError(
                f"{path}: {direction}_{kind} must be uint8 of one shape (N, 3, H, W); {_FIX}"
            )
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


def read_samples(folder: Path) -> SampleHistory | None:
    """A run's generated points over training out of `trail.npz`; None if the run left none.

    Raises:
        UserError: if the file is damaged or its arrays do not fit together.
    """
    path = folder / "trail.npz"
    stored = _arrays(path, lambda name: True)
    if stored is None:
        return None
    iterations, samples, real = (stored.get(n) for n in ("iterations", "samples", "real"))
    fits = (
        iterations is not None
        and samples is not None
        and real is not None
        and iterations.dtype == np.int64
        and samples.dtype == real.dtype == np.float32
        and (iterations.ndim, samples.ndim, real.ndim) == (1, 3, 2)
        and len(iterations) == len(samples) > 0
        and min(samples.shape[1], real.shape[0], real.shape[1]) > 0
        and samples.shape[2] == real.shape[1]
        and bool(np.all(np.diff(iterations) > 0))
        and bool(np.isfinite(real).all())
    )
    if not fits:
        raise UserError(
            f"{path}: iterations (T,) must rise, samples (T, S, D) and real (R, D) be float32; "
            f"{_FIX}"
        )
    assert iterations is not None
    assert samples is not None
    assert real is not None
    return SampleHistory(iterations=iterations, samples=samples, real=real)


def _arrays(path: Path, wanted: Callable[[str], bool]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        # `allow_pickle=False`: a file of arrays must not be able to run code.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if wanted(name)}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); {_FIX}") from error
