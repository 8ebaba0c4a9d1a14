"""What Lightning's loop and the diagnosis cost, as shares of training's own time.

Both are timed inside one fit, call by call, because two fits timed apart differ by more than the
shares.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
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


class _Timer:
    """Seconds and calls of methods since `restart`, by kind, while they are patched."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def patch(self, owner: Any, method: str, kind: str) -> Any:
        """A context in which an object's or a class's method is timed."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args, **kwargs)
            self.seconds[kind] += time.perf_counter() - started
            self.calls[kind] += 1
            return result

        return mock.patch.object(owner, method, timed)


def lightning_overhead(gan: GAN, *, m: int, iterations: int) -> float:
    """Time of `Trainer.fit` that is not the bare loop's, as a share of the bare loop's.

    The bare loop draws the batch and the latents and takes the training step. The GAN is trained on
    digits for one iteration that does not count, and for those that do.
    """
    data, timer = ImageData(Digits(), n=256, m=m), _Timer()
    starts: list[float] = []
    bare: list[float] = []
    with timer.patch(data, "batch", "bare"), timer.patch(gan, "training_step", "bare"):
        draw = data.batch

        def first(*args: Any, **kwargs: Any) -> Any:  # a cycle runs from one draw to the next
            bare.append(timer.seconds["bare"])
            starts.append(time.perf_counter())
            return draw(*args, **kwargs)

        with mock.patch.object(data, "batch", first):
            silent_fit(gan, data, iterations=iterations + 2, callbacks=[LossLogger()])
    return (starts[-1] - starts[1]) / (bare[-1] - bare[1]) - 1


def diagnosis_price(gan: GAN, *, m: int, iterations: int) -> float:
    """Time of the diagnosis at its default interval, as a share of training's without it.

    It listens to the layers at every iteration. It measures more often here than by default, which
    is counted as often as by default. The GAN is trained on digits for one iteration that does not
    count, and for those that do, at least 2.
    """
    data, timer, diagnosis = ImageData(Digits(), n=256, m=m), _Timer(), Diagnosis(every=2)
    starts: list[float] = []
    step = gan.training_step

    def marked(*args: Any, **kwargs: Any) -> None:
        if not starts:
            timer.restart()
        starts.append(time.perf_counter())
        step(*args, **kwargs)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(gan, "training_step", marked))
        for owner, method, kind in (
            (NonFiniteDetector, "_hear", "listening"),
            (NonFiniteDetector, "end_iteration", "listening"),
            (diagnosis, "measure", "measuring"),
        ):
            stack.enter_context(timer.patch(owner, method, kind))
        silent_fit(gan, data, iterations=iterations + 1, callbacks=[diagnosis])
    training = (starts[-1] - starts[0] - sum(timer.seconds.values())) / iterations
    listening = timer.seconds["listening"] / iterations
    measuring = timer.seconds["measuring"] / timer.calls["measuring"] / DiagnosisSettings().every
    return (listening + measuring) / training
