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
from pytorch_lightning import Callback, LightningModule, Trainer

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.progress import (
    LossLogger,
    Progress,
    RandomnessReport,
    RandomnessSource,
    log_metrics,
    sources_of_randomness,
)
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.remedies import WGANGP, DiscriminatorBatchNorm, Packing, Remedy
from ganstoch.training.gan import GAN

Make = Callable[..., Any]


class Every(Callback):
    """Changes the interval after the trainer has been made."""

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def on_fit_start(self, trainer: Trainer, *_: Any) -> None:
        trainer.log_every_n_steps = self.interval


def test_losses_at_the_interval(
    make_gan: Make, make_data: Make, fit: Make, make_losses: Make, journalist: Any
) -> None:
    losses = make_losses()
    fit(make_gan(), make_data(), losses, Every(2), LossLogger(), steps=5, loggers=[journalist])
    assert [step for step, _ in journalist.metrics] == [2, 4]
    for step, metrics in journalist.metrics:
        d, g = losses.trace[step]
        assert metrics == {"loss/discriminator": d, "loss/generator": g}


def test_one_rank_writes(
    make_gan: Make, make_data: Make, fit: Make, journalist: Any, monkeypatch: Any
) -> None:
    trainer = fit(make_gan(), make_data(), steps=1, loggers=[journalist])
    log_metrics(trainer, {"a": 1.0})
    assert journalist.metrics == [(1, {"a": 1.0})]
    monkeypatch.setattr(type(trainer), "is_global_zero", False)
    log_metrics(trainer, {"a": 2.0})
    assert journalist.metrics == [(1, {"a": 1.0})]


class Reader(Callback):
    """Reads the file after every iteration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[dict[str, Any]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        self.seen.append(json.loads(self.path.read_bytes()))


def evaluation() -> Evaluation:
    return Evaluation(every=2, queries=4, semantic=None)


def test_the_file_says_how_far_the_run_is(
    make_gan: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    path = tmp_path / "progress.json"
    measured, reader = evaluation(), Reader(path)
    progress = Progress(path, quiet=True, file_every=0.0)
    fit(make_gan(), make_data(), measured, progress, reader, steps=3)
    assert [(state["iteration"], state["of"]) for state in reader.seen] == [(1, 3), (2, 3), (3, 3)]
    assert set(reader.seen[0]) == {"iteration", "of"}  # nothing measured yet
    metrics = measured.history[0].metrics
    assert reader.seen[1]["overfitting"] == round(metrics["overfitting/pixel_l1/mean"], 2)
    assert reader.seen[2]["mode drop"] == round(metrics["mode_drop/pixel_l1/mean"], 2)
    last = json.loads(path.read_bytes())
    metrics = measured.history[-1].metrics
    assert last["iteration"] == 3
    assert last["overfitting"] == round(metrics["overfitting/pixel_l1/mean"], 2)
    assert list(tmp_path.glob("progress*")) == [path]


def test_quiet_leaves_the_terminal_alone(
    make_gan: Make,
    make_data: Make,
    fit: Make,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(tmp_path / "progress.json", quiet=True)
    fit(make_gan(), make_data(), evaluation(), progress, steps=2)
    assert "it/s" not in capsys.readouterr().err
    progress = Progress(tmp_path / "progress.json", line_every=0.0)
    fit(make_gan(), make_data(), evaluation(), progress, steps=2)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "overfitting=" in shown


class Breaks(Callback):
    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        raise RuntimeError("pulled the plug")


def test_the_bar_is_closed_before_an_error_is_told(
    make_gan: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    progress = Progress(tmp_path / "progress.json")
    with pytest.raises(RuntimeError, match="pulled the plug"):
        fit(make_gan(), make_data(), evaluation(), progress, Breaks(), steps=2)
    assert progress._bar is not None
    assert progress._bar.disable  # which is how tqdm marks a closed bar


@pytest.fixture
def sources(make_gan: Make, make_data: Make) -> Make:
    """The sources of a run with some settings, by name."""

    def sources(
        *, bank: int | str = "n", noise: float = 0.0, seed: int = 0, **data_settings: Any
    ) -> dict[str, RandomnessSource]:
        gan, data = make_gan(bank=bank, noise=noise, seed=seed), make_data(**data_settings)
        data.setup("fit")
        gan.setup_latents(n=64)
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=1,
        )
        listed = sources_of_randomness(trainer, gan, data)
        assert len({source.name for source in listed}) == len(listed)
        return {source.name: source for source in listed}

    return sources


def states(found: dict[str, RandomnessSource], state: str) -> set[str]:
    return {name for name, source in found.items() if source.state == state}


FIXED = {"initial weights", "spectral norm's start", "choice of subset", "latents"}


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)


@pytest.mark.usefixtures("deterministic")
def test_the_full_batch_leaves_nothing_on(sources: Make) -> None:
    found = sources(m="n")
    assert states(found, "on") == set()
    assert states(found, "fixed") == FIXED | {"floating point", "order of sums"}
    assert found["sampling of images"].what == "every image once"
    assert found["sampling of latents"].what == "every latent once"
    assert found["latents"].what == "k = 64 fixed"


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({"m": "n/4"}, ["sampling of images", "sampling of latents"]),
        ({"bank": "fresh"}, ["latents", "sampling of latents"]),
        ({"bank": "2n"}, ["sampling of latents"]),
        ({"noise": 0.5}, ["noise on latents"]),
        ({"sampling": "permutation"}, ["sampling of images"]),
        ({"sampling": "with_replacement"}, ["sampling of images"]),
    ],
    ids=str,
)
def test_each_setting_turns_on_its_source(
    sources: Make, settings: dict[str, Any], on: list[str]
) -> None:
    assert states(sources(**{"m": "n"} | settings), "on") == set(on)


@pytest.mark.parametrize(
    ("remedy", "coupled", "draws"),
    [
        (DiscriminatorBatchNorm(), True, "none"),
        (Packing(), True, "none"),
        (WGANGP(), False, "WGANGP"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Remedy) else "",
)
def test_remedies_are_named(
    make_gan: Make, make_data: Make, remedy: Remedy, coupled: bool, draws: str
) -> None:
    kept = make_gan()
    gan = GAN(
        partial(PaperGenerator, width=8, latent_dim=8),
        partial(PaperDiscriminator, width=8),
        remedies=[remedy],
    )
    trainer = Trainer(accelerator="cpu", logger=False, max_epochs=1)
    for m, drawn in (("n/4", True), ("n", False)):
        data = make_data(m=m)
        data.setup("fit")
        gan.setup_latents(n=64, m=data.batch_size)
        kept.setup_latents(n=64, m=data.batch_size)
        plain = {s.name: s for s in sources_of_randomness(trainer, kept, data)}
        found = {s.name: s for s in sources_of_randomness(trainer, gan, data)}
        together, own = found["batch-coupled layers"], found["remedies' draws"]
        # A batch that is always the same leaves nothing to chance.
        assert together.state == ("on" if drawn and coupled else "off")
        assert (own.state, own.what) == ("off" if draws == "none" else "on", draws)
        assert plain["batch-coupled layers"].state == plain["remedies' draws"].state == "off"


def test_what_is_left_to_the_machine_is_left_to_chance(
    make_gan: Make, make_data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan, data = make_gan(micro_batch=8), make_data()
    data.setup("fit")
    gan.setup_latents(n=64)
    for micro_batch, kernels, state in (
        (8, False, "fixed"),
        ("auto", False, "on"),
        ("auto", True, "fixed"),
    ):
        gan.micro_batch = micro_batch
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda k=kernels: k)
        for precision in ("bf16-mixed", "32-true"):
            trainer = Trainer(accelerator="cpu", precision=precision, logger=False, max_epochs=1)
            found = {s.name: s for s in sources_of_randomness(trainer, gan, data)}
            assert found["order of sums"].state == state
            rounding = "off" if precision == "32-true" else "fixed" if kernels else "on"
            assert found["reduced precision"].state == rounding


def test_is_printed_and_logged_at_start_up(
    make_gan: Make,
    make_data: Make,
    fit: Make,
    journalist: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="ganstoch"):
        fit(make_gan(), make_data(), RandomnessReport(), steps=1, loggers=[journalist])
    (message,) = [r.getMessage() for r in caplog.records if r.name == "ganstoch"]
    _, *lines = message.split("\n")
    (settings,) = [s["randomness"] for s in journalist.settings if "randomness" in s]
    assert len(settings) == len(lines)
    for line, name in zip(lines, settings, strict=True):
        assert line.strip().startswith(name)
    assert settings["sampling of images"] == "on: 16 of 64, with replacement"
