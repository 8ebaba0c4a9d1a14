from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.records import Record, read_record
from ganstoch.runs import pool
from ganstoch.runs.pool import Row
from ganstoch.training.gan import GAN

Command = Callable[..., Any]

REPORT = ["curves.png", "fig1.png", "fig2.png", "index.html"]
REPORT += ["table1.csv", "table1.md", "table1.tex"]
ROWS = [(64, 0.0), (16, 0.0), (4, 0.0), (1, 0.0), (64, 0.5)]
SWEEP = 'method: grid\ncommand: ["${env}", ganstoch, fit, --config, mini, "${args}"]\nparameters: '


@pytest.fixture
def table1(ganstoch: Command, tiny_rows: tuple[str, ...], started: list[str]) -> Command:
    """The whole table on 256 digits in the folder `out`, its rows in this process."""

    def table1(*words: object) -> Any:
        return ganstoch("table1", "--preset", "mini", *tiny_rows, "--out", "out", *words)

    return table1


@pytest.fixture
def out(here: Path, finished_table: tuple[Path, list[str]]) -> Path:
    """A copy of the finished table."""
    shutil.copytree(finished_table[0], here / "out")
    return here / "out"


def records(out: Path) -> list[Record]:
    return [read_record(path) for path in sorted(out.glob("runs/*/record.json"))]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_every_row_is_run_and_reported(finished_table: tuple[Path, list[str]]) -> None:
    out, labels = finished_table
    # Costliest first.
    assert [label.split("-", 2)[2] for label in labels[:2]] == ["m64-seed0", "m64-noise0.5-seed0"]
    assert len(labels) == 5
    assert {(record.m, record.noise) for record in records(out)} == set(ROWS)
    for record in records(out):
        assert (record.preset, record.dataset, record.n, record.seed) == ("mini", "digits", 256, 0)
        assert [m.iteration for m in record.history] == [2, 4]
    assert len(list(out.glob("runs/*/log.txt"))) == 5
    assert sorted(contents(out)) == sorted(["plan.json", *REPORT])
    plan = json.loads((out / "plan.json").read_bytes())
    assert sorted(plan["runs"]) == sorted(f"runs/{p.name}" for p in (out / "runs").iterdir())
    assert plan["missing"] == []


def test_a_finished_table_starts_nothing(out: Path, table1: Command, started: list[str]) -> None:
    before = contents(out)
    answer = table1()
    assert (answer.status, answer.err) == (0, "")
    assert started == []
    assert contents(out)["table1.md"] == before["table1.md"]
    assert "wandb sync" not in answer.out
    (next(out.glob("runs/*")) / "wandb" / "offline-run-1").mkdir(parents=True)
    assert "wandb sync out/runs/*/wandb/offline-run-*" in table1().out


def test_only_what_is_missing_is_run(out: Path, table1: Command, started: list[str]) -> None:
    (gone,) = out.glob("runs/digits-n256-m4-*")
    before = read_record(gone / "record.json")
    shutil.rmtree(gone)
    answer = table1()
    assert answer.status == 0
    assert started == ["digits-n256-m4-seed0"]
    assert read_record(gone / "record.json").metrics == before.metrics


def test_other_settings_are_other_rows_beside_the_old(
    out: Path, table1: Command, started: list[str], here: Path
) -> None:
    (here / "one.yaml").write_text(SWEEP + "{config: {values: [n256]}}\n")
    answer = table1("--sweep", "one.yaml", "--set", "model.optimizer.lr=0.1")
    assert answer.status == 0
    assert started == ["digits-n256-m1-seed0"]
    assert len(records(out)) == 6
    assert len(json.loads((out / "plan.json").read_bytes())["runs"]) == 1


def test_a_failing_row_stops_no_other(
    here: Path, table1: Command, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row diverges; it is named in the output and the table, and later alone tried again."""
    original = GAN.sample

    def sample(self: GAN, latents: torch.Tensor, **options: Any) -> torch.Tensor:
        bad = self.trainer.datamodule.batch_size == 4  # type: ignore[attr-defined]
        return original(self, latents, **options) * (float("nan") if bad else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(GAN, "sample", sample)
        answer = table1()
    assert answer.status == 1
    assert len(started) == 5
    (line,) = [line for line in answer.out.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED digits-n256-m4-seed0: ")
    assert "out/runs/digits-n256-m4-seed0-" in line
    assert {record.m for record in records(here / "out")} == {64, 16, 1}
    assert "digits-n256-m4-seed0" in (here / "out" / "table1.md").read_text()
    del started[:]
    assert table1().status == 0
    assert started == ["digits-n256-m4-seed0"]


def test_an_interrupted_table_goes_on(
    here: Path,
    finished_table: tuple[Path, list[str]],
    table1: Command,
    started: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ctrl-C in the third row's third iteration; that row goes on from its second."""
    original, calls = GAN.train_iteration, []

    def play(self: GAN, *arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 11:
            raise KeyboardInterrupt
        original(self, *arguments, **options)

    start = pool.launch

    def interrupted(row: Row, environment: Any) -> Any:
        ended = start(row, environment)
        if ended.returncode == 130:  # Ctrl-C reaches rows and pool alike
            raise KeyboardInterrupt
        return ended

    with monkeypatch.context() as patch:
        patch.setattr(GAN, "train_iteration", play)
        patch.setattr(pool, "launch", interrupted)
        answer = table1()
    assert answer.status == 130
    assert len(started) == 3
    assert len(records(here / "out")) == 2
    assert table1().status == 0
    assert len(started) == 3 + 3
    assert started[2] == started[3]
    (resumed,) = [message for message in caplog.messages if message.endswith("step=2.ckpt")]
    assert f"{started[2]}-" in resumed
    ours, theirs = records(here / "out"), records(finished_table[0])
    assert [r.config_hash for r in ours] == [r.config_hash for r in theirs]
    assert [r.history for r in ours] == [r.history for r in theirs]


def test_the_noisy_row_takes_its_twin_s_iterations(
    here: Path, table1: Command, started: list[str]
) -> None:
    (here / "two.yaml").write_text(SWEEP + "{config: {values: [n4-noise, n4]}}\n")
    rule = ("stop=true", "window=2", "threshold=0.9", "after=4")
    words = [word for setting in rule for word in ("--set", f"stop_rule.{setting}")]
    answer = table1("--sweep", "two.yaml", "--set", "trainer.max_steps=50", *words)
    assert answer.status == 0, answer
    assert started == ["digits-n256-m64-seed0", "digits-n256-m64-noise0.5-seed0"]
    found = {record.noise: record for record in records(here / "out")}
    assert found[0.0].converged
    assert found[0.0].iterations == found[0.5].iterations == 4
    assert table1("--sweep", "two.yaml", "--set", "trainer.max_steps=50", *words).status == 0
    assert len(started) == 2


def test_auto_is_paper_with_a_gpu(
    here: Path, ganstoch: Command, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    answer = ganstoch("table1", "--root", "nowhere")
    lines = answer.out.splitlines()
    assert lines[0].startswith("preset paper")
    # Its data are not here: fifteen rows are named, and nothing is begun.
    names = [line.split("-")[0] for line in lines[1:]]
    assert names == [f"FAILED {name}" for name in ("svhn", "cifar10", "ffhq") for _ in range(5)]
    assert "n12800-m3200-" in lines[1]
    assert answer.complaint
    assert started == []
    assert list(here.iterdir()) == []


def test_rows_whose_data_are_missing_are_named_and_the_others_run(
    here: Path, out: Path, table1: Command, started: list[str]
) -> None:
    answer = table1("--data", "digits,svhn", "--root", "nowhere")
    assert answer.status == 1
    failed = [line for line in answer.out.splitlines() if line.startswith("FAILED svhn-n256-m")]
    assert len(failed) == 5
    assert started == []
    assert (out / "table1.md").read_text().count("svhn-n256-m") == 5


def test_rows_are_processes_of_their_own(
    here: Path, tiny_rows: tuple[str, ...], ganstoch: Command
) -> None:
    """The real thing, without a stand-in; one row can be trained and one cannot."""
    (here / "two.yaml").write_text(
        SWEEP + "{config: {value: n4}, model.latents.noise: {values: [0.0, -1.0]}}\n"
    )
    words = ["--preset", "mini", "--sweep", "two.yaml", *tiny_rows, "--out", "out", "--jobs", "2"]
    answer = ganstoch("table1", *words)
    assert answer.status == 1
    (record,) = records(here / "out")
    assert (record.m, record.noise, record.iterations) == (64, 0.0, 4)
    (failed,) = [line for line in answer.out.splitlines() if line.startswith("FAILED")]
    assert "model.latents.noise" in failed
    (log,) = here.glob("out/runs/*noise-1*/log.txt")
    assert log.read_text().count("\n") == 1
    assert {path.name for path in log.parent.iterdir()} == {"log.txt"}
