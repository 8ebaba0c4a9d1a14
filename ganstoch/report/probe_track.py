"""`probe.json`: what the discriminator's features told of the classes, read back and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ganstoch.errors import UserError
from ganstoch.records import decode

__all__ = ["ProbeMoment", "ProbeTrack", "read_probe"]

SCHEMA = 1
"""Version of the layout; a file of another version is refused."""

_FIX = "remove the run's folder to run that row again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeMoment:
    """The probe at one moment of a run.

    Attributes:
        iteration: D+G iterations done; 0 for the discriminator before training.
        accuracy: share of the test images whose class the probe names, in [0, 1].
        train_accuracy: share of the images that the probe was fitted on, in [0, 1].
    """

    iteration: int
    accuracy: float
    train_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTrack:
    """The probe over a run.

    Attributes:
        moments: by rising iteration.
        pixels: accuracy of the same probe on the pixels in place of features, in [0, 1].
        pixels_train: idem, of the images that it was fitted on.
        chance: accuracy of always naming the commonest class, in [0, 1].
        fitted_on: number of images, all of which the discriminator trains on.
        tested_on: number of images.
        test: "held_out" where the test images are none that the discriminator trains on; "train"
            where the source has no others with classes, and a share of its own was put aside from
            the probe.
        schema: version of this layout.
    """

    moments: tuple[ProbeMoment, ...]
    pixels: float
    pixels_train: float
    chance: float
    fitted_on: int
    tested_on: int
    test: Literal["held_out", "train"]
    schema: int = field(default=SCHEMA)


def read_probe(path: Path) -> ProbeTrack | None:
    """Reads a run's probe back; None if the run left none.

    Raises:
        UserError: if the file is no JSON, of another schema, has a wrong field, or no moments in
            order.
    """
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); {_FIX}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise UserError(f"{path} has schema {schema!r}, this version reads {SCHEMA}; {_FIX}")
    track = decode(ProbeTrack, content, str(path), fix=_FIX)
    assert isinstance(track, ProbeTrack)
    iterations = [moment.iteration for moment in track.moments]
    if not iterations or iterations != sorted(set(iterations)):
        raise UserError(f"{path}: moments must be at rising iterations, one or more; {_FIX}")
    return track
