"""What Lightning's loop costs beside the game it runs."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

from pytorch_lightning import Trainer

from ganstoch.callbacks.journal import Journal
from ganstoch.data import Digits, ImageData
from ganstoch.training.game import Game

__all__ = ["lightning_overhead"]


def lightning_overhead(game: Game, *, m: int, iterations: int) -> float:
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

    loud = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            mock.patch.object(data, "batch", first),
            mock.patch.object(game, "training_step", step),
        ):
            Trainer(
                accelerator="auto",
                devices=1,
                max_epochs=-1,
                max_steps=iterations + 2,  # a cycle runs from one draw to the next
                logger=False,
                callbacks=[Journal()],
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            ).fit(game, datamodule=data)
    finally:
        loud.setLevel(level)
    whole = ends[-1] - ends[1]
    bare = sum(inside[1:-1])
    return (whole - bare) / bare
