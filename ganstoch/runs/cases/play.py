"""Plays one labelled run and keeps its signals, so that verdicts can be drawn again at no cost."""

from __future__ import annotations

import json
from pathlib import Path

from ganstoch.callbacks.diagnosis import Diagnosis
from ganstoch.data import ImageData
from ganstoch.diagnosis import Signals
from ganstoch.diagnosis.signals import from_columns, to_columns
from ganstoch.errors import UserError
from ganstoch.latents import LatentSettings
from ganstoch.records import write_atomically
from ganstoch.runs.cases.case import Case
from ganstoch.training.gan import GAN, AdamSettings
from ganstoch.training.silent_fit import silent_fit

__all__ = ["EVERY", "play", "read_trace", "trace_path", "write_trace"]

EVERY = 25
"""Iterations between measurements."""


def play(case: Case, *, seed: int, iterations: int | None = None) -> list[Signals]:
    """Trains a case's game and returns its signals.

    Args:
        case: what to play.
        seed: of the run.
        iterations: how many; None for the case's own number.
    """
    family = case.family
    data = ImageData(case.source(), n=case.n, m=case.m, seed=seed)
    data.prepare_data()
    data.setup("fit")
    game = GAN(
        family.generator,
        family.discriminator,
        case.objective(),
        remedies=[make() for make in case.remedies],
        latents=LatentSettings(noise=case.noise),
        optimizer=AdamSettings(
            lr=family.lr * case.lr, beta1=family.beta1 if case.beta1 is None else case.beta1
        ),
        ema_decay=0.98,
        seed=seed,
        shape=data.shape,
    )
    diagnosis = Diagnosis(every=EVERY)
    silent_fit(
        game,
        data,
        iterations=case.iterations if iterations is None else iterations,
        callbacks=[*(make() for make in case.faults), diagnosis],
        accelerator="cpu",
    )
    return diagnosis.history


def trace_path(folder: Path, case: Case, *, seed: int) -> Path:
    """Where the signals of a case are kept."""
    plain = "".join(c if c.isalnum() else "_" for c in case.name)
    return folder / f"{plain}-{seed}.json"


def write_trace(path: Path, history: list[Signals]) -> None:
    """Keeps the signals of a run."""
    write_atomically(path, json.dumps(to_columns(history), allow_nan=False).encode() + b"\n")


def read_trace(path: Path) -> list[Signals]:
    """Reads signals back.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        return from_columns(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged; remove it to play the case again") from error
