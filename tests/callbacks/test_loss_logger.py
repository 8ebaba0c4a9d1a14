from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, Trainer

from ganstoch.callbacks.progress import LossLogger, log_metrics

Make = Callable[..., Any]


class Every(Callback):
    """Changes the interval after the trainer has been made."""

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def on_fit_start(self, trainer: Trainer, *_: Any) -> None:
        trainer.log_every_n_steps = self.interval


def test_losses_at_the_interval(
    make_game: Make, make_data: Make, fit: Make, make_losses: Make, journalist: Any
) -> None:
    losses = make_losses()
    fit(make_game(), make_data(), losses, Every(2), LossLogger(), steps=5, loggers=[journalist])
    assert [step for step, _ in journalist.metrics] == [2, 4]
    for step, metrics in journalist.metrics:
        d, g = losses.trace[step]
        assert metrics == {"loss/discriminator": d, "loss/generator": g}


def test_one_rank_writes(
    make_game: Make, make_data: Make, fit: Make, journalist: Any, monkeypatch: Any
) -> None:
    trainer = fit(make_game(), make_data(), steps=1, loggers=[journalist])
    log_metrics(trainer, {"a": 1.0})
    assert journalist.metrics == [(1, {"a": 1.0})]
    monkeypatch.setattr(type(trainer), "is_global_zero", False)
    log_metrics(trainer, {"a": 2.0})
    assert journalist.metrics == [(1, {"a": 1.0})]
