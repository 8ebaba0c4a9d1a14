"""What a run tells as it trains: losses, the bar and its file, the sources of randomness."""

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
    log_metrics,
    sources_of_randomness,
)
from ganstoch.latents import LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.remedies import WGANGP, DiscriminatorBatchNorm, Packing
from ganstoch.training.gan import GAN

Make = Callable[..., Any]


def test_losses_at_the_interval(
    run: Make, make_losses: Make, watch: Make, journalist: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def every_second(trainer: Any, gan: GAN) -> None:
        trainer.log_every_n_steps = 2

    losses = make_losses()
    trainer = run(losses, watch(every_second), LossLogger(), steps=5, loggers=[journalist])
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
    pairs = (("overfitting", "overfitting"), ("mode drop", "mode_drop"))
    shown = [
        {name: round(each.metrics[f"{key}/pixel_l1/mean"], 2) for name, key in pairs}
        for each in measured.history
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


IMAGES, LATENTS = "sampling of images", "sampling of latents"
COUPLED = {IMAGES, LATENTS, "batch-coupled layers"}
MACHINE = {"floating point", "reduced precision", "order of sums"}


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({}, set()),  # the full batch leaves nothing to chance
        ({"m": "n/4"}, {IMAGES, LATENTS}),
        ({"latents": LatentSettings(bank="fresh")}, {"latents", LATENTS}),
        ({"latents": LatentSettings(bank="2n")}, {LATENTS}),
        ({"latents": LatentSettings(noise=0.5)}, {"noise on latents"}),
        ({"sampling": "permutation"}, {IMAGES}),
        ({"sampling": "with_replacement"}, {IMAGES}),
        ({"remedies": [Packing()]}, set()),
        ({"remedies": [Packing()], "m": "n/4"}, COUPLED),
        ({"remedies": [DiscriminatorBatchNorm()]}, set()),
        ({"remedies": [DiscriminatorBatchNorm()], "m": "n/4"}, COUPLED),
        ({"remedies": [WGANGP()]}, {"draws of remedies"}),
        ({"deterministic": False}, {"floating point"}),
        ({"deterministic": False, "precision": "bf16-mixed", "micro_batch": "auto"}, MACHINE),
    ],
)
def test_each_setting_turns_on_its_source(
    settings: dict[str, Any], on: set[str], make_data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"m": "n", "precision": "32-true"} | settings
    is_deterministic = options.pop("deterministic", True)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: is_deterministic)
    data = make_data(**{key: options.pop(key) for key in ("m", "sampling") if key in options})
    data.setup("fit")
    precision = options.pop("precision")
    trainer = Trainer(accelerator="cpu", precision=precision, logger=False, max_epochs=1)
    networks = partial(PaperGenerator, width=8, latent_dim=8), partial(PaperDiscriminator, width=8)
    gan = GAN(*networks, **options)
    gan.setup_latents(n=64, m=data.batch_size)
    sources = sources_of_randomness(trainer, gan, data)
    assert len({name for name, *_ in sources}) == len(sources)
    assert {name for name, state, *_ in sources if state == "on"} == on


def test_is_printed_and_logged(run: Make, journalist: Any, caplog: Any) -> None:
    with caplog.at_level(logging.INFO, logger="ganstoch"):
        run(RandomnessReport(), steps=1, loggers=[journalist])
    (message,) = [r.getMessage() for r in caplog.records if r.name == "ganstoch"]
    _, *lines = message.split("\n")
    (settings,) = [s["randomness"] for s in journalist.settings if "randomness" in s]
    for line, name in zip(lines, settings, strict=True):
        assert line.strip().startswith(name)
    assert settings["sampling of images"] == "on: 16 of 64, with replacement"
