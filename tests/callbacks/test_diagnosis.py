"""The diagnosis of our own GAN: it changes nothing, resumes, acts when asked, and tells causes."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor

from ganstoch.callbacks.checkpoints import Checkpoints
from ganstoch.callbacks.diagnosis import Action, Diagnosis
from ganstoch.diagnosis import Signals
from ganstoch.diagnosis.signals import from_columns
from ganstoch.runs.faults import Poison
from ganstoch.training.gan import GAN

Make = Callable[..., Any]


def test_gradients_are_those_of_the_last_update(
    make_gan: Make, make_data: Make, fit: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []  # the discriminator's, the generator's, and so on
    diagnosis = Diagnosis(every=3, images=16)
    step = torch.optim.Adam.step

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        whole = torch.cat([p.grad.flatten() for p in self.param_groups[0]["params"]])
        norms.append(whole.norm().item())
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    fit(make_gan(), make_data(), diagnosis, steps=3)
    last = diagnosis.history[0]
    assert [last.gradient_discriminator, last.gradient_generator] == pytest.approx(norms[4:])


def test_signals_are_logged_and_left_in_a_file(run: Make, journalist: Any, tmp_path: Path) -> None:
    path = tmp_path / "run" / "diagnosis.json"
    diagnosis = Diagnosis(every=2, images=16, path=path)
    run(diagnosis, steps=6, loggers=[journalist])
    logged = dict(journalist.metrics)
    assert logged[4]["diagnosis/diversity"] == diagnosis.history[1].diversity
    content = json.loads(path.read_bytes())
    assert content["verdict"] == "healthy"
    last = diagnosis.history[-1]
    assert [name for name in Signals.__slots__ if getattr(last, name) is None] == []
    assert last.broken == ""
    assert [s.iteration for s in from_columns(content["signals"])] == [2, 4, 6]


def test_restores_the_best_weights(make_gan: Make, make_data: Make, fit: Make, watch: Any) -> None:
    states: list[dict[str, Tensor]] = []
    diagnosis = Diagnosis(every=2, images=16, act="restore")

    def look(trainer: Trainer, gan: GAN) -> None:
        states.append({name: value.clone() for name, value in gan.state_dict().items()})

    gan, poison = make_gan(), Poison(layer="generator.layers.0", at=7)
    fit(gan, make_data(), poison, watch(look), diagnosis, steps=20)
    assert diagnosis.diagnosed is not None
    assert diagnosis.diagnosed.verdict == "non_finite"
    restored = gan.state_dict()
    assert any(all(torch.equal(state[k], restored[k]) for k in restored) for state in states[:6])


@pytest.mark.parametrize("act", ["alert", "stop"])
def test_acts_with_words_when_a_verdict_first_becomes_due(
    run: Make, act: Action, journalist: Any, caplog: Any, diagnosing: Make, tmp_path: Path
) -> None:
    alerts = []
    journalist.alert = lambda title, text: alerts.append((title, text))
    diagnosing("diverged")
    path = tmp_path / "diagnosis.json"
    diagnosis = Diagnosis(every=1, images=8, act=act, path=path)
    with caplog.at_level(logging.INFO, logger="ganstoch"):
        trainer = run(diagnosis, steps=9, loggers=[journalist])
    assert trainer.global_step == (6 if act == "stop" else 9)
    (line,) = [message for message in caplog.messages if f"diagnosis.act {act}" in message]
    assert "iteration 6:" in line
    assert "diverged" in line
    assert alerts == [("ganstoch: diverged", line)]
    (entry,) = json.loads(path.read_bytes())["acts"]
    assert entry == {"iteration": 6, "act": act, "verdict": "diverged", "words": line}


def test_an_alert_is_of_every_verdict_and_a_stop_of_fatal_ones(run: Make, diagnosing: Make) -> None:
    diagnosing("memorization", "stalled")
    alerting = Diagnosis(every=1, images=8, act="alert")
    run(alerting, steps=8)
    assert [act["verdict"] for act in alerting.acts] == ["memorization", "stalled"]
    stopping = Diagnosis(every=1, images=8, act="stop")
    assert run(stopping, steps=8).global_step == 8
    assert stopping.acts == []


def test_a_stopped_run_does_not_train_on(run: Make, tmp_path: Path, diagnosing: Make) -> None:
    diagnosing("diverged")
    checkpoints = Checkpoints(tmp_path / "checkpoints", every=100, run="this")
    diagnosis = Diagnosis(every=1, images=8, act="stop")
    run(diagnosis, checkpoints, steps=9)
    (last,) = (tmp_path / "checkpoints").glob("*.ckpt")
    resumed = Diagnosis(every=1, images=8, act="stop")
    assert run(resumed, steps=9, resume=last).global_step == 6
    assert resumed.acts == diagnosis.acts
