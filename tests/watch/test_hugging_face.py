"""The callback in a small imitation of Hugging Face's Trainer."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch import Monitor, MonitorCallback


class Trainer:
    """Calls its callbacks when and as transformers 4.46's does, and heeds its control."""

    def __init__(self, *callbacks: Any, logs: dict[str, Any], rank: int = 0) -> None:
        self.callbacks, self.logs = callbacks, logs
        self.state = SimpleNamespace(global_step=0, is_world_process_zero=rank == 0)
        self.control = SimpleNamespace(should_training_stop=False)

    def call(self, event: str, **others: Any) -> None:
        for callback in self.callbacks:
            result = getattr(callback, event)(None, self.state, self.control, model=None, **others)
            self.control = result or self.control

    def train(self, steps: int, *, logging_steps: int = 5) -> int:
        self.call("on_train_begin")
        while self.state.global_step < steps and not self.control.should_training_stop:
            self.call("on_step_begin")
            self.state.global_step += 1
            self.call("on_step_end")
            if self.state.global_step % logging_steps == 0:
                self.call("on_log", logs=self.logs)
        self.call("on_train_end")
        return int(self.state.global_step)


def noise(n: int) -> Tensor:
    return torch.randn(n, 2)


@pytest.mark.parametrize(
    ("logs", "given"),
    [
        ({"d_loss": 1.25, "gen_loss": 0.5, "learning_rate": 1e-4, "epoch": 0.1}, {}),
        ({"train/errD": 1.25, "train/errG": 0.5, "loss": 3.0}, {}),
        ({"critic_says": 1.25, "x": 0.5}, {"loss_d": "critic_says", "loss_g": "x"}),
    ],
)
def test_a_trainer_is_watched(logs: dict[str, Any], given: dict[str, str]) -> None:
    monitor = Monitor(noise(500), sample=noise, every=10)
    trainer = Trainer(MonitorCallback(monitor, losses=given), logs=logs)
    assert trainer.train(60) == 60
    assert [signals.iteration for signals in monitor.history] == [10, 20, 30, 40, 50, 60]
    assert monitor.verdict == "healthy"
    last = monitor.history[-1]  # its losses are logged after the step has ended
    assert (last.loss_discriminator, last.loss_generator) == (1.25, 0.5)
    assert monitor.notes == []


@pytest.mark.parametrize("stop", [False, True])
def test_ends_training_only_if_told(stop: bool) -> None:
    monitor = Monitor(every=10)
    logs = {"d_loss": float("nan")}
    steps = Trainer(MonitorCallback(monitor, stop=stop), logs=logs).train(60)
    assert steps == (10 if stop else 60)
    assert monitor.verdict == "non_finite"


def test_other_processes_are_silent() -> None:
    monitor = Monitor(noise(100), sample=noise, every=10)
    Trainer(MonitorCallback(monitor), logs={}, rank=1).train(20)
    assert monitor.history == []
    with pytest.raises(AttributeError):
        MonitorCallback(monitor).logs  # noqa: B018
