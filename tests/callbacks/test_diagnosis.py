"""The diagnosis of our own game: it changes nothing, resumes, acts when asked, and tells causes."""

from __future__ import annotations

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
from ganstoch.callbacks.diagnosis import Diagnosis
from ganstoch.data import ImageData
from ganstoch.diagnostics import Diagnosed, Signals
from ganstoch.diagnostics.signals import from_columns
from ganstoch.errors import UserError
from ganstoch.experiments.cases.faults import Blind, Freeze, Poison
from ganstoch.training.game import Game

MakeGame = Callable[..., Game]
MakeData = Callable[..., ImageData]
Fit = Callable[..., Trainer]
State = Callable[[Trainer], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], None]


def test_training_goes_the_same_way_bit_for_bit(
    make_game: MakeGame, make_data: MakeData, fit: Fit, state_of: State, assert_same_bits: Same
) -> None:
    alone = state_of(fit(make_game(), make_data(), steps=6))
    diagnosis = Diagnosis(every=1, images=16)
    watched = state_of(fit(make_game(), make_data(), diagnosis, steps=6))
    assert_same_bits(alone, watched)
    assert [signals.iteration for signals in diagnosis.history] == [1, 2, 3, 4, 5, 6]
    last = diagnosis.history[-1]
    missing = [name for name in Signals.__slots__ if getattr(last, name) is None]
    assert missing == []
    assert last.broken == ""


def test_gradients_are_those_of_the_last_update(
    make_game: MakeGame, make_data: MakeData, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, float] = {}
    game, diagnosis = make_game(), Diagnosis(every=3, images=16)
    step = torch.optim.Adam.step

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        player = "generator" if len(seen) % 2 else "discriminator"
        whole = torch.cat([p.grad.flatten() for p in self.param_groups[0]["params"]])
        seen[f"{len(seen)} {player}"] = whole.norm().item()
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    fit(game, make_data(), diagnosis, steps=3)
    assert diagnosis.history[0].gradient_discriminator == pytest.approx(seen["4 discriminator"])
    assert diagnosis.history[0].gradient_generator == pytest.approx(seen["5 generator"])


def test_a_resumed_run_is_diagnosed_as_a_whole(
    make_game: MakeGame, make_data: MakeData, fit: Fit, tmp_path: Path
) -> None:
    whole = Diagnosis(every=2, images=16)
    fit(make_game(), make_data(), whole, steps=8)
    checkpoints = Checkpoints(tmp_path / "checkpoints", every=4, run="this")
    fit(make_game(), make_data(), Diagnosis(every=2, images=16), checkpoints, steps=4)
    resumed = Diagnosis(every=2, images=16)
    latest = next((tmp_path / "checkpoints").glob("*4.ckpt"))
    fit(make_game(), make_data(), resumed, steps=8, resume=latest)
    assert resumed.history == whole.history
    assert resumed.diagnosed == whole.diagnosed


def test_signals_are_logged_and_left_in_a_file(
    make_game: MakeGame, make_data: MakeData, fit: Fit, journalist: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "diagnosis.json"
    diagnosis = Diagnosis(every=2, images=16, path=path)
    fit(make_game(), make_data(), diagnosis, steps=4, loggers=[journalist])
    logged = dict(journalist.metrics)
    assert set(logged) == {2, 4}
    assert logged[4]["diagnosis/diversity"] == diagnosis.history[1].diversity
    content = json.loads(path.read_bytes())
    assert content["verdict"] == "healthy"
    assert [s.iteration for s in from_columns(content["signals"])] == [2, 4]


def test_a_nan_is_told_once_with_its_layer_and_iteration(
    make_game: MakeGame, make_data: MakeData, fit: Fit, caplog: pytest.LogCaptureFixture
) -> None:
    diagnosis = Diagnosis(every=4, images=16)
    with caplog.at_level(logging.INFO, logger="ganstoch"):
        fit(make_game(), make_data(), Poison("discriminator.body.4", at=6), diagnosis, steps=16)
    said = [record.message for record in caplog.records if "numerical" in record.message]
    assert len(said) == 1
    assert "discriminator.body.4, iteration 6" in said[0]
    assert "since iteration 8 (sure 100%)" in said[0]


def test_stops_only_where_asked(make_game: MakeGame, make_data: MakeData, fit: Fit) -> None:
    poison = Poison("generator.layers.0", at=3)
    on = fit(make_game(), make_data(), poison, Diagnosis(every=2, images=16), steps=12)
    assert on.global_step == 12
    off = fit(make_game(), make_data(), poison, Diagnosis(every=2, images=16, act="stop"), steps=12)
    assert off.global_step == 4
    spared = Diagnosis(every=2, images=16, act="stop", on=["memorising"])
    assert fit(make_game(), make_data(), poison, spared, steps=12).global_step == 12


def test_restores_the_weights_of_the_best_look(
    make_game: MakeGame, make_data: MakeData, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[int, dict[str, Tensor]] = {}
    diagnosis = Diagnosis(every=2, images=16, act="restore")
    look = diagnosis._look

    def noting(trainer: Trainer, module: Game, iteration: int) -> None:
        look(trainer, module, iteration)
        kept[iteration] = {name: value.clone() for name, value in module.state_dict().items()}

    monkeypatch.setattr(diagnosis, "_look", noting)
    game = make_game()
    fit(game, make_data(), Poison("generator.layers.0", at=7), diagnosis, steps=20)
    assert diagnosis.diagnosed is not None
    assert diagnosis.diagnosed.verdict == "numerical"
    found = [
        i for i in kept if all(torch.equal(kept[i][k], v) for k, v in game.state_dict().items())
    ]
    assert found
    assert found[0] <= 6


def test_alerts_weights_and_biases(
    make_game: MakeGame,
    make_data: MakeData,
    fit: Fit,
    journalist: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alerts: list[tuple[str, str]] = []

    class Run:
        def alert(self, title: str, text: str) -> None:
            alerts.append((title, text))

    monkeypatch.setattr("ganstoch.callbacks.diagnosis.WandbLogger", type(journalist))
    monkeypatch.setattr(type(journalist), "experiment", Run(), raising=False)
    for act in ("log", "alert"):
        poison = Poison("generator.layers.0", at=3)
        watching = Diagnosis(every=2, images=16, act=act)  # type: ignore[arg-type]
        fit(make_game(), make_data(), poison, watching, steps=8, loggers=[journalist])
        assert len(alerts) == (act == "alert")
    title, text = alerts[0]
    assert title == "ganstoch: numerical"
    assert "generator.layers.0, iteration 3" in text


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [(lambda: Blind(), "generator_ignores_z"), (lambda: Freeze("generator"), "discriminator_wins")],
)
def test_known_causes_are_named(
    fault: Callable[[], Any], verdict: str, make_game: MakeGame, make_data: MakeData, fit: Fit
) -> None:
    diagnosis = Diagnosis(every=8, images=16)
    fit(make_game(width=32), make_data(), fault(), diagnosis, steps=72)
    assert isinstance(diagnosis.diagnosed, Diagnosed)
    assert diagnosis.diagnosed.verdict == verdict


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"every": 0}, "diagnosis.every"), ({"images": 4}, "diagnosis.images")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Diagnosis(**settings)  # type: ignore[arg-type]
