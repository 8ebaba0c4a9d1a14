"""What Lightning's loop and the diagnosis cost, as shares of training's own time.

Both are timed call by call inside one fit: two fits differ by more than the shares.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack
from typing import Any
from unittest import mock

from ganstoch.callbacks.diagnosis import Diagnosis, DiagnosisSettings
from ganstoch.callbacks.progress import LossLogger
from ganstoch.data import Digits
from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis.non_finite import NonFiniteDetector
from ganstoch.training.gan import GAN
from ganstoch.training.silent_fit import silent_fit


class _Timer(ExitStack):
    """Seconds and calls by kind of methods of objects or classes, patched until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def patch(self, owner: Any, method: str, kind: str) -> None:
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args, **kwargs)
            self.seconds[kind] += time.perf_counter() - started
            self.calls[kind] += 1
            return result

        self.enter_context(mock.patch.object(owner, method, timed))

    def mark(self, owner: Any, method: str) -> list[tuple[float, float, float]]:
        """When a method is called, and the seconds of all kinds and of "listening" by then."""
        inner, marks = getattr(owner, method), list[tuple[float, float, float]]()

        def marked(*args: Any, **kwargs: Any) -> Any:
            spent = sum(self.seconds.values())
            marks.append((time.perf_counter(), spent, self.seconds["listening"]))
            return inner(*args, **kwargs)

        self.enter_context(mock.patch.object(owner, method, marked))
        return marks


def lightning_overhead(gan: GAN, *, m: int, iterations: int) -> float:
    """Time of `Trainer.fit` that neither draws a batch nor takes a step, as a share of the rest."""
    data = ImageData(Digits(), n=256, m=m)
    with _Timer() as timer:
        timer.patch(data, "batch", "bare")
        timer.patch(gan, "training_step", "bare")
        marks = timer.mark(data, "batch")  # a cycle runs from one draw to the next
        silent_fit(gan, data, iterations=iterations + 2, callbacks=[LossLogger()])
    (start, bare_start, _), (end, bare_end, _) = marks[1], marks[-1]
    return (end - start) / (bare_end - bare_start) - 1


def diagnosis_price(gan: GAN, *, m: int, iterations: int) -> float:
    """Time of the diagnosis at its default interval, as a share of training's without it.

    Listening to the layers counts at every iteration, measuring by the default interval.
    """
    data, diagnosis = ImageData(Digits(), n=256, m=m), Diagnosis(every=2)
    with _Timer() as timer:
        timer.patch(NonFiniteDetector, "_hear", "listening")
        timer.patch(NonFiniteDetector, "end_iteration", "listening")
        timer.patch(diagnosis, "measure", "measuring")
        marks = timer.mark(gan, "training_step")
        silent_fit(gan, data, iterations=iterations + 1, callbacks=[diagnosis])
    whole, diagnosing, listening = (b - a for a, b in zip(marks[0], marks[-1], strict=True))
    measuring = timer.seconds["measuring"] / timer.calls["measuring"] / DiagnosisSettings().every
    return (listening / iterations + measuring) / ((whole - diagnosing) / iterations)
