"""What it costs to have a run diagnosed, at the default interval."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from ganstoch.callbacks.diagnosis import Diagnosis, DiagnosisSettings
from ganstoch.data import Digits, ImageData
from ganstoch.diagnosis.non_finite import NonFiniteDetector
from ganstoch.training.gan import GAN
from ganstoch.training.silent_fit import silent_fit

__all__ = ["diagnosis_price"]


def diagnosis_price(game: GAN, *, m: int, iterations: int) -> float:
    """Time of the diagnosis at its default interval, as a share of training's without it.

    Timed inside one fit, act by act, because two fits timed apart differ by more than the share:
    listening to the layers at every iteration, and measuring, which is done more often here than
    by default and counted as often as by default.

    Args:
        game: trained on digits; changed.
        m: batch size.
        iterations: how many count, at least 2; one more goes before.
    """
    spent = {"listening": 0.0, "measuring": 0.0}
    measured = 0

    def timed(act: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal measured
            started = time.perf_counter()
            result = act(*args, **kwargs)
            spent[kind] += time.perf_counter() - started
            measured += kind == "measuring"
            return result

        return run

    data = ImageData(Digits(), n=256, m=m)
    diagnosis = Diagnosis(every=2)
    ends: list[float] = []
    step = game.training_step

    def marked(*args: Any, **kwargs: Any) -> None:
        if not ends:
            spent.update(listening=0.0, measuring=0.0)
        ends.append(time.perf_counter())
        step(*args, **kwargs)

    end = NonFiniteDetector.end_iteration
    with (
        mock.patch.object(game, "training_step", marked),
        mock.patch.object(
            NonFiniteDetector, "_hear", _method(timed(NonFiniteDetector._hear, "listening"))
        ),
        mock.patch.object(NonFiniteDetector, "end_iteration", _method(timed(end, "listening"))),
        mock.patch.object(diagnosis, "_look", timed(diagnosis._look, "measuring")),
    ):
        silent_fit(game, data, iterations=iterations + 1, callbacks=[diagnosis])
    whole = ends[-1] - ends[0]
    training = (whole - sum(spent.values())) / iterations
    listening = spent["listening"] / iterations
    measuring = spent["measuring"] / measured / DiagnosisSettings().every
    return (listening + measuring) / training


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that a class takes for a method."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return method
