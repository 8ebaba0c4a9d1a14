"""What Lightning's loop and the diagnosis cost in one fit, as shares of training's own time."""

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
    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)  # in patched methods, by kind
        # The time, and those seconds, at each call.
        self.marks: dict[str, list[tuple[float, dict[str, float]]]] = defaultdict(list)

    def patch(self, owner: Any, method: str, kind: str, *, marked: bool = True) -> None:
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if marked:
                self.marks[kind].append((time.perf_counter(), self.seconds.copy()))
            started = time.perf_counter()
            result = inner(*args, **kwargs)
            self.seconds[kind] += time.perf_counter() - started
            return result

        self.enter_context(mock.patch.object(owner, method, timed))


def lightning_overhead(gan: GAN, *, m: int, iterations: int) -> float:
    """Time of `Trainer.fit` that neither draws a batch nor takes a step, as a share of the rest."""
    data = ImageData(Digits(), n=256, m=m)
    with _Timer() as timer:
        timer.patch(data, "batch", "batch")
        timer.patch(gan, "training_step", "step")
        silent_fit(gan, data, iterations=iterations + 2, callbacks=[LossLogger()])
    _, (start, before), *_, (end, after) = timer.marks["batch"]  # a cycle begins with a draw
    return (end - start) / (sum(after.values()) - sum(before.values())) - 1


def diagnosis_price(gan: GAN, *, m: int, iterations: int) -> float:
    """Time of the diagnosis at its default interval, as a share of training's without it."""
    data, diagnosis = ImageData(Digits(), n=256, m=m), Diagnosis(every=2)
    with _Timer() as timer:
        timer.patch(NonFiniteDetector, "_hear", "listening", marked=False)
        timer.patch(NonFiniteDetector, "end_iteration", "listening", marked=False)
        timer.patch(diagnosis, "measure", "measuring")
        timer.patch(gan, "training_step", "step")
        silent_fit(gan, data, iterations=iterations + 1, callbacks=[diagnosis])
    (start, before), *_, (end, after) = timer.marks["step"]
    listening, measuring = (after[k] - before[k] for k in ("listening", "measuring"))
    once = timer.seconds["measuring"] / len(timer.marks["measuring"])
    spent = listening + iterations * once / DiagnosisSettings().every
    return spent / (end - start - listening - measuring)
