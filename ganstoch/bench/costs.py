"""What Lightning's loop and the diagnosis cost, as shares of training's own time.

Both are timed inside one fit, call by call, because two fits timed apart differ by more than the
shares.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

from ganstoch.callbacks.diagnosis import Diagnosis, DiagnosisSettings
from ganstoch.callbacks.progress import LossLogger
from ganstoch.data import Digits, ImageData
from ganstoch.diagnosis.non_finite import NonFiniteDetector
from ganstoch.training.gan import GAN
from ganstoch.training.silent_fit import silent_fit

__all__ = ["diagnosis_price", "lightning_overhead"]


class _Timer:
    """Seconds and calls of methods, by kind, while they are patched.

    Attributes:
        seconds: spent since `restart`, by kind.
        calls: since `restart`, by kind.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def patch(self, owner: Any, method: str, kind: str) -> Any:
        """A context in which an object's or a class's method is timed."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args, **kwargs)
            self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - started
            self.calls[kind] = self.calls.get(kind, 0) + 1
            return result

        return mock.patch.object(owner, method, timed)


def lightning_overhead(game: GAN, *, m: int, iterations: int) -> float:
    """Time of `Trainer.fit` that is not the bare loop's, as a share of the bare loop's.

    The bare loop draws the batch and the latents and takes the training step.

    Args:
        game: trained on digits; changed.
        m: batch size.
        iterations: how many count; one more goes before.
    """
    data, timer = ImageData(Digits(), n=256, m=m), _Timer()
    starts: list[float] = []
    bare: list[float] = []
    with timer.patch(data, "batch", "bare"), timer.patch(game, "training_step", "bare"):
        draw = data.batch

        def first(*args: Any, **kwargs: Any) -> Any:  # a cycle runs from one draw to the next
            bare.append(timer.seconds.get("bare", 0.0))
            starts.append(time.perf_counter())
            return draw(*args, **kwargs)

        with mock.patch.object(data, "batch", first):
            silent_fit(game, data, iterations=iterations + 2, callbacks=[LossLogger()])
    return (starts[-1] - starts[1]) / (bare[-1] - bare[1]) - 1


def diagnosis_price(game: GAN, *, m: int, iterations: int) -> float:
    """Time of the diagnosis at its default interval, as a share of training's without it.

    It listens to the layers at every iteration. It measures more often here than by default, which
    is counted as often as by default.

    Args:
        game: trained on digits; changed.
        m: batch size.
        iterations: how many count, at least 2; one more goes before.
    """
    data, timer, diagnosis = ImageData(Digits(), n=256, m=m), _Timer(), Diagnosis(every=2)
    starts: list[float] = []
    step = game.training_step

    def marked(*args: Any, **kwargs: Any) -> None:
        if not starts:
            timer.restart()
        starts.append(time.perf_counter())
        step(*args, **kwargs)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(game, "training_step", marked))
        for owner, method, kind in (
            (NonFiniteDetector, "_hear", "listening"),
            (NonFiniteDetector, "end_iteration", "listening"),
            (diagnosis, "measure", "measuring"),
        ):
            stack.enter_context(timer.patch(owner, method, kind))
        silent_fit(game, data, iterations=iterations + 1, callbacks=[diagnosis])
    training = (starts[-1] - starts[0] - sum(timer.seconds.values())) / iterations
    listening = timer.seconds["listening"] / iterations
    measuring = timer.seconds["measuring"] / timer.calls["measuring"] / DiagnosisSettings().every
    return (listening + measuring) / training
