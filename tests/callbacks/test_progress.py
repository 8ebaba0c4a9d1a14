"""What a run tells as it trains: losses, the bar and its file, the sources of randomness."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

import ganstoch.callbacks.progress
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.progress import (
    LossLogger,
    Progress,
    RandomnessReport,
    RandomnessSource,
    log_metrics,
    sources_of_randomness,
)
from ganstoch.latents import LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.remedies import WGANGP, DiscriminatorBatchNorm, Packing, Remedy
from ganstoch.training.gan import GAN

Make = Callable[..., Any]


def test_losses_at_the_interval(
    run: Make, make_losses: Make, watch: Make, journalist: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def every_second(trainer: Trainer, gan: GAN) -> None:
        trainer.log_every_n_steps = 2

    losses = make_losses()
    callbacks = losses, watch(every_second), LossLogger()
    trainer = run(*callbacks, steps=5, loggers=[journalist])
    assert [step for step, _ in journalist.metrics] == [2, 4]
    for step, metrics in journalist.metrics:
        d, g = losses.trace[step]
        assert metrics == {"loss/discriminator": d, "loss/generator": g}
    monkeypatch.setattr(type(trainer), "is_global_zero", False)
    log_metrics(trainer, {"a": 2.0})
    assert len(journalist.metrics) == 2  # one rank writes


def evaluation() -> Evaluation:
    return Evaluation(every=2, queries=4, semantic=None)


def test_the_file_says_how_far_the_run_is(
    run: Make, watch: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ganstoch.callbacks.progress, "FILE_EVERY", 0.0)
    path, states = tmp_path / "progress.json", []

    def look(trainer: Trainer, gan: GAN) -> None:
        states.append(json.loads(path.read_bytes()))

    measured = evaluation()
    run(measured, Progress(path, quiet=True), watch(look), steps=3)
    first, last = (measurement.metrics for measurement in measured.history)
    shown = [
        {
            "overfitting": round(metrics["overfitting/pixel_l1/mean"], 2),
            "mode drop": round(metrics["mode_drop/pixel_l1/mean"], 2),
        }
        for metrics in (first, last)
    ]
    assert states[0] == {"iteration": 1, "of": 3}  # nothing measured yet
    assert states[1] == {"iteration": 2, "of": 3} | shown[0]
    assert json.loads(path.read_bytes()) == {"iteration": 3, "of": 3} | shown[1]
    assert list(tmp_path.glob("progress*")) == [path]


def test_quiet_leaves_the_terminal_alone(
    run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ganstoch.callbacks.progress, "LINE_EVERY", 0.0)
    for quiet in (True, False):
        run(evaluation(), Progress(tmp_path / "progress.json", quiet=quiet), steps=2)
        shown = capsys.readouterr().err
        assert ("2/2" in shown) == ("overfitting=" in shown) == ("it/s" in shown) == (not quiet)


Sources = dict[str, RandomnessSource]


@pytest.fixture
def sources(make_data: Make) -> Make:
    """The sources of a run with some settings, by name."""

    def sources(
        *remedies: Remedy,
        latents: LatentSettings = LatentSettings(),  # noqa: B008
        micro_batch: Any = None,
        precision: Any = "32-true",
        **data_settings: Any,
    ) -> Sources:
        generator = partial(PaperGenerator, width=8, latent_dim=8)
        discriminator = partial(PaperDiscriminator, width=8)
        options: Any = {"remedies": remedies, "latents": latents, "micro_batch": micro_batch}
        gan, data = GAN(generator, discriminator, **options), make_data(**data_settings)
        data.setup("fit")
        gan.setup_latents(n=64, m=data.batch_size)
        trainer = Trainer(accelerator="cpu", precision=precision, logger=False, max_epochs=1)
        listed = sources_of_randomness(trainer, gan, data)
        assert len({source.name for source in listed}) == len(listed)
        return {source.name: source for source in listed}

    return sources


def states(listed: Sources, state: str) -> set[str]:
    return {name for name, source in listed.items() if source.state == state}


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)


@pytest.mark.usefixtures("deterministic")
def test_the_full_batch_leaves_nothing_on(sources: Make) -> None:
    listed = sources(m="n")
    assert states(listed, "on") == set()
    assert states(listed, "fixed") == {
        *("initial weights", "spectral norm's start", "choice of subset", "latents"),
        *("floating point", "order of sums"),
    }


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({"m": "n/4"}, ["sampling of images", "sampling of latents"]),
        ({"latents": LatentSettings(bank="fresh")}, ["latents", "sampling of latents"]),
        ({"latents": LatentSettings(bank="2n")}, ["sampling of latents"]),
        ({"latents": LatentSettings(noise=0.5)}, ["noise on latents"]),
        ({"sampling": "permutation"}, ["sampling of images"]),
        ({"sampling": "with_replacement"}, ["sampling of images"]),
    ],
    ids=str,
)
def test_each_setting_turns_on_its_source(
    sources: Make, settings: dict[str, Any], on: list[str]
) -> None:
    assert states(sources(**{"m": "n"} | settings), "on") == set(on)


@pytest.mark.parametrize("m", ["n/4", "n"])
@pytest.mark.parametrize("remedy", [DiscriminatorBatchNorm, Packing, WGANGP])
def test_remedies_are_named(sources: Make, remedy: type[Remedy], m: str) -> None:
    listed = sources(remedy(), m=m)
    together, own = listed["batch-coupled layers"], listed["remedies' draws"]
    # A batch that is always the same leaves nothing to chance.
    assert (together.state == "on") == (m == "n/4" and remedy is not WGANGP)
    assert (own.state, own.what) == (("on", "WGANGP") if remedy is WGANGP else ("off", "none"))


@pytest.mark.parametrize("is_deterministic", [True, False])
def test_what_is_left_to_the_machine_is_left_to_chance(
    sources: Make, is_deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: is_deterministic)
    expected = "fixed" if is_deterministic else "on"
    listed = sources(micro_batch=8, precision="bf16-mixed")
    assert (listed["order of sums"].state, listed["reduced precision"].state) == ("fixed", expected)
    listed = sources(micro_batch="auto")
    assert (listed["order of sums"].state, listed["reduced precision"].state) == (expected, "off")


def test_is_printed_and_logged_at_start_up(
    run: Make, journalist: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ganstoch"):
        run(RandomnessReport(), steps=1, loggers=[journalist])
    (message,) = [r.getMessage() for r in caplog.records if r.name == "ganstoch"]
    _, *lines = message.split("\n")
    (settings,) = [s["randomness"] for s in journalist.settings if "randomness" in s]
    for line, name in zip(lines, settings, strict=True):
        assert line.strip().startswith(name)
    assert settings["sampling of images"] == "on: 16 of 64, with replacement"
