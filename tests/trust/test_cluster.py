"""Rows as jobs, through submitit's local executor: real processes, as a cluster would start them.

What Slurm itself does cannot be tried without one: tests/runs/test_cluster.py looks at the
script that it would get.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganstoch.cli import main
from ganstoch.records import Record, read_record
from ganstoch.runs import pool
from ganstoch.runs.pool import Row

# submitit forgets the processes that it has started, and so may go on without us.
pytestmark = pytest.mark.filterwarnings(
    "ignore:subprocess .* is still running:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

TINY = {
    "trainer.max_steps": "120",
    "evaluation.every": "60",
    "evaluation.queries": "8",
    "evaluation.semantic": "null",
    "model.generator.init_args.width": "16",
    "model.generator.init_args.latent_dim": "8",
    "model.discriminator.init_args.width": "16",
    "wandb.mode": "disabled",
}
SWEEP = (
    'method: grid\ncommand: ["${env}", ganstoch, fit, --config, mini, "${args}"]\n'
    "parameters: {config: {values: [n4, n16]}}\n"
)
WORDS = ["table1", "--preset=mini", "--sweep=two.yaml", "--jobs=2"]
WORDS += [f"--set={key}={value}" for key, value in TINY.items()]
PASSING = {"seconds", "hardware", "git_sha", "config"}
"""What a record may say otherwise elsewhere."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same table without jobs, its rows one after the other in this process."""
    here = tmp_path_factory.mktemp("reference")
    (here / "two.yaml").write_text(SWEEP)

    class Ended:
        def __init__(self, status: int) -> None:
            self.status = status

        def poll(self) -> int:
            return self.status

    def start(row: Row, environment: object) -> Ended:
        return Ended(main(["fit", *row.arguments, f"--out={row.folder}", "--quiet=true"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.chdir(here)
        patch.setattr(pool, "launch", start)
        assert main([*WORDS, "--out=out"]) == 0
    return here / "out"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "two.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path
    signal.signal(signal.SIGINT, before)


def essence(record: Record) -> dict[str, Any]:
    return record.model_dump(exclude=PASSING)


def assert_same_runs(ours: Path, theirs: Path) -> int:
    """Every row's record, images and weights are the same bits; how many rows."""
    names = sorted(path.name for path in (theirs / "runs").iterdir())
    assert sorted(path.name for path in (ours / "runs").iterdir()) == names
    for name in names:
        one, other = ours / "runs" / name, theirs / "runs" / name
        assert essence(read_record(one / "record.json")) == essence(
            read_record(other / "record.json")
        )
        with np.load(one / "samples.npz") as mine, np.load(other / "samples.npz") as yours:
            assert {k: mine[k].tobytes() for k in mine} == {k: yours[k].tobytes() for k in yours}
        (mine,), (yours,) = (
            [
                torch.load(path, weights_only=True)["state_dict"]
                for path in (run / "checkpoints").glob("step=120.ckpt")
            ]
            for run in (one, other)
        )
        assert all(torch.equal(mine[key], yours[key]) for key in mine.keys() | yours.keys())
    return len(names)


def rows_of(table: Path) -> list[str]:
    """The lines of a table in Markdown that hold values, without the times, which are last."""
    lines = (table / "table1.md").read_text().splitlines()
    return [line.rpartition("|")[0].rpartition("|")[0] for line in lines if line.startswith("|")]


def test_jobs_outlive_the_command_that_submitted_them(
    reference: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C as soon as one trains; jobs go on, and the same command waits for these very jobs."""
    words = [*WORDS, "--out=out", "--executor=local"]
    with monkeypatch.context() as patch:

        def share(row: Row) -> float:
            if list(here.glob("out/runs/*/run.json")):
                raise KeyboardInterrupt
            return 0.0

        patch.setattr(pool, "_share", share)
        assert main(words) == 130
    assert not list(here.glob("out/runs/*/record.json"))
    assert main(words) == 0
    assert len(list(here.glob("out/jobs/*_submitted.pkl"))) == 2
    assert_same_runs(here / "out", reference)
    assert rows_of(here / "out") == rows_of(reference)
    for log in here.glob("out/runs/*/log.txt"):
        assert "going on from" not in log.read_text()


def job_of(folder: str) -> int:
    """The process that runs a row as its child."""
    listed = subprocess.run(
        ["ps", "-wweo", "ppid,args"], capture_output=True, text=True, check=True
    )
    (line,) = [w for w in listed.stdout.splitlines() if w.endswith(f"--out={folder} --quiet=true")]
    return int(line.split()[0])


def test_a_preempted_job_is_requeued_and_goes_on(
    reference: Path, here: Path, tally: Callable[..., None]
) -> None:
    trouble: list[BaseException] = []

    def preempt() -> None:
        try:
            waiting = {path.name for path in (reference / "runs").iterdir()}
            until = time.monotonic() + 150
            while waiting:
                assert time.monotonic() < until
                time.sleep(0.01)
                for name in list(waiting):
                    if (here / "out" / "runs" / name / "run.json").exists():  # training begins
                        time.sleep(0.3)
                        os.kill(job_of(f"out/runs/{name}"), signal.SIGUSR2)
                        waiting.remove(name)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=preempt)
    thread.start()
    status = main([*WORDS, "--out=out", "--executor=local"])
    thread.join()
    assert not trouble
    assert status == 0
    for log in here.glob("out/runs/*/log.txt"):
        assert "going on from" in log.read_text(), log.read_text()
    assert len(list(here.glob("out/jobs/*_submitted.pkl"))) == 2  # no new jobs: the same again
    tally("requeued, same bits", assert_same_runs(here / "out", reference))
