"""What Lightning's loop costs beside the game it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from ganstoch.callbacks.loss_logger import LossLogger
from ganstoch.data import Digits, ImageData
from ganstoch.training.gan import GAN
from ganstoch.training.silent_fit import silent_fit

__all__ = ["lightning_overhead"]


def lightning_overhead(game: GAN, *, m: int, iterations: int) -> float:
    """Time of `Trainer.fit` that is not the bare loop's, as a share of the bare loop's.

    The bare loop is drawing the batch, drawing the latents and playing. Its time is taken inside
    the fit, iteration by iteration, because two loops timed apart differ by more than the share.

    Args:
        game: trained on digits; changed.
        m: batch size.
        iterations: how many count; one more goes before.
    """
    data = ImageData(Digits(), n=256, m=m)
    inside: list[float] = []
    ends: list[float] = []

    def timed(act: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = act(*args, **kwargs)
            inside[-1] += time.perf_counter() - started
            return result

        return run

    batch, step = timed(data.batch), timed(game.training_step)

    def first(*args: Any, **kwargs: Any) -> Any:
        inside.append(0.0)
        ends.append(time.perf_counter())
        return batch(*args, **kwargs)

    with mock.patch.object(data, "batch", first), mock.patch.object(game, "training_step", step):
        # A cycle runs from one draw to the next.
        silent_fit(game, data, iterations=iterations + 2, callbacks=[LossLogger()])
    whole = ends[-1] - ends[1]
    bare = sum(inside[1:-1])
    return (whole - bare) / bare
