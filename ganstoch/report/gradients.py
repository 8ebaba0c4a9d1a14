"""`gradient_noise.json`: what a run measured of its gradients, read back and checked."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from ganstoch.errors import UserError

__all__ = ["FILE", "PLAYERS", "GradientHistory", "NoisePoint", "Player", "Values", "read_gradients"]

FILE = "gradient_noise.json"
SCHEMA = 1

Player = Literal["discriminator", "generator"]
PLAYERS: tuple[Player, ...] = ("discriminator", "generator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """A player at one moment.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisePoint:
    """Both players after some iterations."""

    iteration: int
    discriminator: Values
    generator: Values

    def of(self, player: Player) -> Values:
        """One player's values."""
        return self.discriminator if player == "discriminator" else self.generator


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientHistory:
    """A run's measurements.

    Attributes:
        every: iterations between them, as asked for.
        n: images in the subset.
        m: logical mini-batch size.
        draws: what an estimate rests on; None where the values are exact.
        moments: by rising iteration.
    """

    every: int
    n: int
    m: int
    draws: int | None
    moments: tuple[NoisePoint, ...]


def read_gradients(path: Path) -> GradientHistory | None:
    """Reads a run's measurements; None if the run left none.

    Raises:
        UserError: if the file is damaged or of another version.
    """
    if not path.exists():
        return None
    fix = "remove it and run that row again"
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise UserError(
                f"{path} has schema {content['schema']!r}, this version reads {SCHEMA}; {fix}"
            )
        draws = content["draws"]
        history = GradientHistory(
            every=_whole(content["every"]),
            n=_whole(content["n"]),
            m=_whole(content["m"]),
            draws=None if draws is None else _whole(draws),
            moments=tuple(_moment(each) for each in content["history"]),
        )
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UserError:
        raise
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); {fix}") from error
    places = [moment.iteration for moment in history.moments]
    if not places or any(a >= b for a, b in pairwise(places)):
        raise UserError(f"{path}: iterations must rise; {fix}")
    return history


def _moment(content: dict[str, Any]) -> NoisePoint:
    return NoisePoint(
        iteration=_whole(content["iteration"]),
        discriminator=_values(content["discriminator"]),
        generator=_values(content["generator"]),
    )


def _values(content: dict[str, Any]) -> Values:
    ratio, critical = content["ratio"], content["critical_batch"]
    return Values(
        signal=_number(content["signal"]),
        noise=_number(content["noise"]),
        ratio=None if ratio is None else _number(ratio),
        critical_batch=None if critical is None else _number(critical),
    )


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
