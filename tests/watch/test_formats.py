"""Readers on files that the real libraries wrote: whole, cut off, and read while they grow."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.watch.columns import columns_of
from ganstoch.watch.judge import judge
from ganstoch.watch.sources import Source, sources

D, G = 1.25, 0.75  # exact in every format
COUNT = 60
Points = list[tuple[float, float]]

LIGHTNING = """
from pytorch_lightning.loggers import CSVLogger
logger = CSVLogger(".", flush_logs_every_n_steps=7)
for i in range(60):
    logger.log_metrics({"d_loss": 1.25}, step=i * 10)
    logger.log_metrics({"g_loss": 0.75}, step=i * 10)
    if i == 30:
        logger.log_metrics({"fid": 10.0}, step=i * 10)
logger.finalize("success")
"""
TENSORBOARD = """
from torch.utils.tensorboard import SummaryWriter
import torch
writer = SummaryWriter("tb")
for i in range(60):
    writer.add_scalar("Loss/D", 1.25, i * 10)
    writer.add_scalar("Loss/G", 0.75, i * 10, new_style=True)
writer.add_histogram("weights", torch.arange(10.0), 0)
writer.add_text("words", "fid: 3", 0)
writer.close()
"""
SCALARS = """
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter("tb")
for i in range(60):
    writer.add_scalars("Losses", {"discriminator": 1.25, "generator": 0.75}, i * 10)
writer.close()
"""
WANDB = """
import wandb
run = wandb.init(project="p", dir=".", mode="offline", settings=wandb.Settings(silent=True))
for i in range(60):
    run.log({"loss": {"d": 1.25, "g": 0.75}, "note": "words" * 2000}, step=i * 10)
run.finish()
"""
MLFLOW = """
import mlflow
mlflow.set_tracking_uri("file:./mlruns")
with mlflow.start_run():
    for i in range(60):
        mlflow.log_metrics({"loss/d": 1.25, "loss/g": 0.75}, step=i * 10)
"""
TRACKIO = """
import trackio
trackio.init(project="p", name="n")
for i in range(60):
    trackio.log({"d_loss": 1.25, "g_loss": 0.75, "words": "a"}, step=i * 10)
trackio.finish()
"""
SCRIPTS = {
    "pytorch_lightning": LIGHTNING,
    "tensorboard": TENSORBOARD,
    "tensorboard scalars": SCALARS,
    "wandb": WANDB,
    "mlflow": MLFLOW,
    "trackio": TRACKIO,
}
Written = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What a library's script wrote, once; skips where the library is not there."""
    made: dict[str, Path] = {}

    def written(name: str) -> Path:
        pytest.importorskip(name.split()[0])
        if name not in made:
            place = made[name] = tmp_path_factory.mktemp("log")
            # Not what another test's W&B has left: the address of a service that has ended.
            inherited = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
            environment = inherited | {"TRACKIO_DIR": str(place), "HF_HUB_OFFLINE": "1"}
            environment |= {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
            environment |= {"WANDB_MODE": "offline", "DO_NOT_TRACK": "true"}
            words = [sys.executable, "-W", "ignore", "-c", SCRIPTS[name]]
            subprocess.run(words, cwd=place, env=environment, check=True, capture_output=True)
        return made[name]

    return written


def only(path: Path) -> Source:
    """The one log of a folder that has losses."""
    found = sources(path)
    for source in found:
        source.read()
    (source,) = (s for s in found if {"loss_d", "loss_g"} <= set(columns_of(s.log.series, {})))
    return source


def points(source: Source, role: str) -> Points:
    series = source.log.series[columns_of(source.log.series, {})[role]]
    return list(zip(series.steps, series.values, strict=True))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_point_is_read(name: str, written: Written) -> None:
    source = only(written(name))
    assert points(source, "loss_d") == [(10 * i, D) for i in range(COUNT)]
    assert points(source, "loss_g") == [(10 * i, G) for i in range(COUNT)]
    assert not source.log.notes
    assert not source.read()  # nothing is new
    assert len(points(source, "loss_d")) == COUNT


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_what_is_cut_off_is_read_as_far_as_it_goes_and_on_when_it_grows(
    name: str, share: float, written: Written, tmp_path: Path
) -> None:
    if name == "trackio" or (name == "tensorboard scalars" and share < 0.1):
        pytest.skip("a database is written whole; a part of a run is known by its first tag")
    whole, part = written(name), tmp_path / "part"
    shutil.copytree(whole, part)
    files = [path for path in part.rglob("*") if path.is_file() and path.name != "meta.yaml"]
    content = {path: path.read_bytes() for path in files}
    for path in files:
        path.write_bytes(content[path][: int(share * len(content[path]))])
    found = sources(part, waits=True)
    for source in found:
        source.read()
    for path in files:
        path.write_bytes(content[path])
    for source in found:
        source.read()
    values = {
        role: points(source, role)
        for source in found
        for role in {"loss_d", "loss_g"} & set(columns_of(source.log.series, {}))
    }
    assert values["loss_d"] == [(10 * i, D) for i in range(COUNT)]
    assert values["loss_g"] == [(10 * i, G) for i in range(COUNT)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_damage_raises_nothing(name: str, written: Written, tmp_path: Path) -> None:
    part = tmp_path / "part"
    shutil.copytree(written(name), part)
    for path in part.rglob("*"):
        if path.is_file() and path.name != "meta.yaml":
            content = bytearray(path.read_bytes())
            content[len(content) // 2 :: 97] = b"\xff" * len(content[len(content) // 2 :: 97])
            path.write_bytes(content)
    for source in sources(part):
        source.read()


# As mlflow.store.tracking.dbmodels.models.SqlMetric, and as trackio 0.0.6, make them.
MLFLOW_TABLE = (
    "CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT "
    "NULL, run_uuid VARCHAR(32) NOT NULL, step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL)"
)
TRACKIO_TABLE = (
    "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp DATETIME, "
    "project_name TEXT NOT NULL, run_name TEXT NOT NULL, metrics TEXT NOT NULL)"
)


def test_a_database_of_mlflow(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute(MLFLOW_TABLE)
        for i in range(3):
            for key, value, broken in (("loss/d", D, 0), ("loss/g", 0.0, 1)):
                row = (key, value, 0, "a", 10 * i, broken)
                database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
    database.close()
    source = only(tmp_path)
    assert points(source, "loss_d") == [(0, D), (10, D), (20, D)]
    assert source.log.series["loss/g"].broken_since == 0


def test_a_database_of_old_trackio_has_runs_of_many_projects_and_grows(tmp_path: Path) -> None:
    insert = "INSERT INTO metrics (project_name, run_name, metrics) VALUES ('p', ?, ?)"
    with sqlite3.connect(tmp_path / "trackio.db") as database:
        database.execute(TRACKIO_TABLE)
        for run in ("a", "b"):
            database.execute(insert, (run, '{"d_loss": 1.25, "g_loss": 0.75}'))
        database.commit()
        first, second = sources(tmp_path)
        first.read()
        second.read()
        assert points(first, "loss_d") == points(second, "loss_d") == [(1, D)]
        database.execute(insert, ("a", '{"d_loss": 1.5, "g_loss": 0.75}'))
        database.execute(insert, ("a", "no json"))
        database.commit()
    database.close()
    assert first.read()
    assert not second.read()
    assert points(first, "loss_d") == [(1, D), (2, 1.5)]
    assert first.log.notes


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("CREATE VIEW metrics AS WITH RECURSIVE t(id, run_name, metrics) AS (SELECT 1, 'a', '{}' "
        "UNION ALL SELECT 1, 'a', '{}' FROM t) SELECT * FROM t", []),
        ("CREATE TABLE metrics (key, value, step, run_uuid, is_nan);"
        "INSERT INTO metrics VALUES (NULL, 1, 0, '/a', 0), (7, 1, 0, '/a', 0)", ["7", "None"]),
    ],
    ids=["a view without an end", "names that are no words"],
)  # fmt: skip
def test_databases_that_no_logger_writes(tmp_path: Path, script: str, names: list[str]) -> None:
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.executescript(script)
    database.close()
    for source in sources(tmp_path):
        source.read()
        assert sorted(source.log.series) == names
        assert judge(source.log).opinion.verdict == "cannot_tell"
        assert tmp_path in source.log.path.parents


def test_a_file_that_cannot_be_read_is_noted_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to("/proc/self/mem")
    (tmp_path / "b.log").write_text("d_loss: 1.25 g_loss: 0.75\n")
    broken, other = sources(tmp_path)
    assert not broken.read()
    assert broken.log.notes
    assert other.read()


def test_a_missing_tensorboard_is_named_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events.out.tfevents.1.host").touch()
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    (source,) = sources(tmp_path)
    with pytest.raises(UserError, match=r"ganstoch\[logs\]"):
        source.read()


def test_runs_below_a_run_stay_runs_of_their_own(tmp_path: Path) -> None:
    SummaryWriter = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
    for place, value in ((".", 1.0), ("exp_1", 2.0), ("exp_2", 3.0)):
        writer = SummaryWriter(str(tmp_path / place))
        writer.add_scalar("d_loss", value, 0)
        writer.add_scalar("g_loss", value, 0)
        writer.close()
    found = sources(tmp_path)
    assert [source.log.path.name for source in found] == [tmp_path.name, "exp_1", "exp_2"]
    assert [source.read() for source in found] == [True] * 3
    assert [points(source, "loss_d") for source in found] == [[(0, 1.0)], [(0, 2.0)], [(0, 3.0)]]


def test_a_pipe_and_too_many_files_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "x.log")
    assert sources(tmp_path) == []
    monkeypatch.setattr("ganstoch.watch.sources._MOST_FILES", 0)
    with pytest.raises(UserError):
        sources(tmp_path)
