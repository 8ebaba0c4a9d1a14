"""`--trainer.logger`: each of Lightning's loggers, by its real package, into a local folder."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from lightning_utilities.core.imports import RequirementCache
from PIL import Image

from ganstoch.records import Record, read_record

Command = Callable[..., Any]
Patch = pytest.MonkeyPatch
METRIC = "overfitting/pixel_l1/mean"
PANELS = ("panels/mode_drop", "panels/overfitting")


def record_of(folder: Path) -> Record:
    return read_record(folder / "record.json")


def curve(record: Record) -> dict[int, float]:
    """A metric by iteration, as its record has it."""
    return {each.iteration: each.metrics[METRIC] for each in record.history}


def last_panels(folder: Path) -> list[tuple[int, int]]:
    """Height and width of the last two panels, of which every pixel is shown as 2 x 2."""
    with np.load(folder / "panels.npz") as rows:
        shapes = [
            (rows[f"{k}_queries"], rows[f"{k}_pixel_l1"]) for k in ("mode_drop", "overfitting")
        ]
    return [(2 * 32 * len(pair), 2 * 32 * len(pair[0])) for pair in shapes]


def size_of(content: bytes) -> tuple[int, int]:
    """Height and width of a picture."""
    width, height = Image.open(io.BytesIO(content)).size
    return height, width


def logging_to(*loggers: dict[str, Any]) -> str:
    """A config that names loggers."""
    path = Path("loggers.yaml")
    path.write_text(json.dumps({"trainer": {"log_every_n_steps": 1, "logger": list(loggers)}}))
    return f"--config={path}"


def csv_rows(folder: Path) -> list[dict[str, str]]:
    (written,) = folder.rglob("metrics.csv")
    head, *rows = (line.split(",") for line in written.read_text().splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_tensorboard_and_csv_at_once_beside_wandb(here: Path, fit: Command) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [
        {"class_path": f"{name}Logger", "init_args": {"save_dir": folder}}
        for name, folder in (("TensorBoard", "tb"), ("CSV", "csv"))
    ]
    assert fit(logging_to(*loggers), "--wandb.mode=offline").status == 0
    record = record_of(here / "run")
    assert (here / "tb" / "run" / "version_0" / "hparams.yaml").exists()  # called as the folder is
    events = EventAccumulator(str(here / "tb" / "run" / "version_0"))
    events.Reload()
    scalars = {each.step: each.value for each in events.Scalars(METRIC)}
    assert scalars == pytest.approx(curve(record))
    assert len(events.Scalars("loss/generator")) == 4
    assert tuple(sorted(events.Tags()["images"])) == PANELS
    shown = [events.Images(name)[-1] for name in PANELS]
    assert [(each.height, each.width) for each in shown] == last_panels(here / "run")
    assert {each.step for each in events.Images(PANELS[0])} == set(curve(record))
    rows = [row for row in csv_rows(here / "csv") if row[METRIC]]
    assert {int(r["step"]): float(r[METRIC]) for r in rows} == pytest.approx(curve(record))
    assert "lr:" in next((here / "csv").rglob("hparams.yaml")).read_text()
    assert list((here / "run" / "wandb").glob("offline-run-*"))


def test_mlflow(here: Path, fit: Command, monkeypatch: Patch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = {"class_path": "MLFlowLogger", "init_args": {"save_dir": str(here / "ml")}}
    assert fit(logging_to(store)).status == 0
    record = record_of(here / "run")
    client = mlflow.MlflowClient(f"file:{here / 'ml'}")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    history = {each.step: each.value for each in client.get_metric_history(run.info.run_id, METRIC)}
    assert history == pytest.approx(curve(record))
    assert run.data.params["data/m"] == str(record.config["data"]["m"])
    pictures = sorted((here / "ml").rglob("images/*.png"))
    assert len(pictures) == len(PANELS) * len(record.history)
    assert {size_of(path.read_bytes()) for path in pictures} == set(last_panels(here / "run"))


def test_comet_offline(here: Path, tiny: tuple[str, ...]) -> None:
    pytest.importorskip("comet_ml")
    comet = {"class_path": "CometLogger", "dict_kwargs": {"offline_directory": str(here / "comet")}}
    words = ["fit", *tiny, "--quiet=true", "--out=run", logging_to(comet)]
    # In a process of its own, at whose end it writes; and its reports of errors go nowhere.
    settings = {"COMET_START_ONLINE": "0", "COMET_INTERNAL_SENTRY_DSN": ""}
    command = [sys.executable, "-m", "ganstoch.cli", *words]
    subprocess.run(command, env=os.environ | settings, check=True, capture_output=True)
    record = record_of(here / "run")
    (archive,) = (here / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as content:
        lines = content.read("messages.json").decode().splitlines()
        messages = [json.loads(line)["payload"] for line in lines]
        pictures = [m["file_path"] for m in messages if m.get("upload_type") == "visualization"]
        sizes = [size_of(content.read(Path(path).name)) for path in pictures]
    found = [m["metric"] for m in messages if (m.get("metric") or {}).get("metricName") == METRIC]
    assert {m["step"]: m["metricValue"] for m in found} == pytest.approx(curve(record))
    assert len(sizes) == len(PANELS) * len(record.history)
    assert set(sizes) == set(last_panels(here / "run"))


def test_a_user_s_own_run_of_wandb_is_the_only_one(
    here: Path, fit: Command, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()  # what an earlier test has W&B remember of the environment
    own = {"class_path": "WandbLogger", "init_args": {"save_dir": str(here), "offline": True}}
    assert fit(logging_to(own), "--wandb.mode=offline").status == 0
    wandb.finish()
    assert len(list(here.rglob("offline-run-*"))) == 1
    (folder,) = (here / "wandb").glob("offline-run-*")
    assert len(list(folder.rglob("*.png"))) == len(PANELS) * len(record_of(here / "run").history)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--trainer.logger=CSVLogger"], "trainer.logger.save_dir"),
        (["--trainer.logger=TensorBoardLogger"], "trainer.logger.save_dir"),
        (["--trainer.logger=NoLogger"], "NoLogger"),
    ],
)
def test_a_logger_that_cannot_be_is_refused(
    words: list[str], named: str, here: Path, fit: Command
) -> None:
    assert named in fit(*words).complaint
    assert not (here / "run").exists()


def test_a_missing_package_is_named(here: Path, fit: Command, monkeypatch: Patch) -> None:
    lacks = RequirementCache("no-such-package>=1")
    monkeypatch.setattr("pytorch_lightning.loggers.mlflow._MLFLOW_AVAILABLE", lacks)
    assert "no-such-package" in fit("--trainer.logger=MLFlowLogger").complaint
    assert not (here / "run").exists()


def test_a_logger_that_fails_at_the_start_is_told_in_a_line(
    fit: Command, monkeypatch: Patch
) -> None:
    def fails(*_: Any) -> None:
        raise ConnectionError("no server")

    monkeypatch.setattr("pytorch_lightning.loggers.CSVLogger.log_hyperparams", fails)
    last = fit("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=log").last
    assert "CSVLogger" in last
    assert "no server" in last


@pytest.mark.parametrize("words", [["--trainer.enable_progress_bar=false"], ["--quiet=true"]])
def test_no_bar_where_none_is_wanted(
    words: list[str], here: Path, fit: Command, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("ganstoch.callbacks.progress.LINE_EVERY", 0.0)
    assert "it/s" in fit("--quiet=false", "--out=shown").err
    assert "it/s" not in fit("--quiet=false", *words).err


def test_lightning_s_checkpoints_and_early_stop_follow_our_metrics(
    here: Path, fit: Command
) -> None:
    callbacks = [
        {
            "class_path": "ModelCheckpoint",
            "init_args": {"dirpath": "best", "monitor": METRIC, "filename": "{step}"},
        },
        {
            "class_path": "EarlyStopping",
            # Nothing ever falls by so much: the third look is one too many.
            "init_args": {"monitor": METRIC, "patience": 2, "min_delta": 1000.0},
        },
    ]
    (here / "c.yaml").write_text(json.dumps({"trainer": {"callbacks": callbacks}}))
    assert fit("--config=c.yaml", "--trainer.max_steps=12").status == 0
    record = record_of(here / "run")
    assert record.iterations == 6
    values = curve(record)
    best = min(values, key=lambda step: values[step])
    assert [path.name for path in (here / "best").iterdir()] == [f"step={best}.ckpt"]
    assert fit(f"--ckpt_path=best/step={best}.ckpt", "--out=more").status == (0 if best <= 4 else 2)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_metric_that_is_not_measured_is_no_traceback(steps: int, fit: Command) -> None:
    words = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=no/such"]
    answer = fit(*words, f"--trainer.max_steps={steps}")
    assert "no/such" in answer.last
    assert "Traceback" not in answer.err


def command_of(folder: Path) -> list[str]:
    """A program that adds its last two words to a file."""
    (folder / "told.py").write_text("import sys; print(*sys.argv[1:], file=open('told', 'a'))")
    return [sys.executable, str(folder / "told.py")]


def test_an_alert_runs_the_command_of_the_command_line_alone(
    here: Path, reference: Path, fit: Command, diagnosing: Command
) -> None:
    diagnosing("diverged")
    words = ["--diagnosis.every=1", "--diagnosis.images=8", "--trainer.max_steps=7"]
    given = json.dumps(command_of(here))
    (here / "a.yaml").write_text(f'{{"diagnosis": {{"act": "alert", "command": {given}}}}}')
    assert "diagnosis.command" in fit("--config=a.yaml", *words).complaint
    assert not (here / "run").exists()
    words.append("--diagnosis.act=alert")
    assert fit(*words, f"--diagnosis.command={given}").status == 0
    (line,) = (here / "told").read_text().splitlines()
    assert "diverged" in line
    assert "iteration 6" in line
    assert fit(*words).status == 0  # the same run, finished: no number depends on it
    assert len((here / "told").read_text().splitlines()) == 1
