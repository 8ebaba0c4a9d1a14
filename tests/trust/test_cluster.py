"""Rows as jobs, through submitit's local executor: real processes, as a cluster would start them.

What Slurm itself does cannot be tried without one: tests/runs/test_cluster.py looks at the
script that it would get.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ganstoch.cli import main
from ganstoch.runs import pool
from ganstoch.runs.pool import Row

# submitit forgets the processes that it has started, and so may go on without us.
pytestmark = pytest.mark.filterwarnings(
    "ignore:subprocess .* is still running:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
Make = Callable[..., Any]
SWEEP = (
    'method: grid\ncommand: ["${env}", ganstoch, fit, --config, mini, "${args}"]\n'
    "parameters: {config: {values: [n4, n16]}}\n"
)


@pytest.fixture(scope="module")
def words(make_lab: Make) -> list[str]:
    """A table of two rows of 120 iterations."""
    longer = {"trainer.max_steps": 120, "evaluation.every": 60, "checkpoint_every": 1000}
    return [*make_lab(Path()).table(**longer), "--sweep=two.yaml"]


@pytest.fixture(scope="module")
def undisturbed(words: list[str], make_lab: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same table without jobs."""
    lab = make_lab(tmp_path_factory.mktemp("reference"))
    (lab.here / "two.yaml").write_text(SWEEP)
    lab.run(words)
    return lab.here / "out"  # type: ignore[no-any-return]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "two.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path
    signal.signal(signal.SIGINT, before)


def rows_of(table: Path) -> list[str]:
    """The lines of a table in Markdown that hold values, without the times, which are last."""
    lines = (table / "table1.md").read_text().splitlines()
    return [line.rpartition("|")[0].rpartition("|")[0] for line in lines if line.startswith("|")]


def assert_same_table(ours: Path, theirs: Path, assert_same_run: Make) -> int:
    """Every row's record, images and weights are the same bits; how many rows."""
    names = sorted(path.name for path in (theirs / "runs").iterdir())
    assert sorted(path.name for path in (ours / "runs").iterdir()) == names
    for name in names:
        assert_same_run(ours / "runs" / name, theirs / "runs" / name)
    assert rows_of(ours) == rows_of(theirs)
    return len(names)


def test_jobs_outlive_the_command_that_submitted_them(
    words: list[str], undisturbed: Path, here: Path, assert_same_run: Make
) -> None:

    def share(row: Row) -> float:
        if list(here.glob("out/runs/*/run.json")):
            raise KeyboardInterrupt
        return 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_share", share)
        assert main([*words, "--executor=local"]) == 130
    assert not list(here.glob("out/runs/*/record.json"))
    assert main([*words, "--executor=local"]) == 0
    assert len(list(here.glob("out/jobs/*_submitted.pkl"))) == 2
    assert_same_table(here / "out", undisturbed, assert_same_run)
    for log in here.glob("out/runs/*/log.txt"):
        assert "going on from" not in log.read_text()


def job_of(folder: str) -> int:
    """The process that runs a row as its child."""
    command = ["ps", "-wweo", "ppid,args"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = [w for w in listed.splitlines() if w.endswith(f"--out={folder} --quiet=true")]
    return int(line.split()[0])


def test_a_preempted_job_is_requeued_and_goes_on(
    words: list[str], undisturbed: Path, here: Path, assert_same_run: Make, tally: Make
) -> None:
    preempted: list[str] = []

    def preempt() -> None:
        waiting = {path.name for path in (undisturbed / "runs").iterdir()}
        until = time.monotonic() + 150
        while waiting and time.monotonic() < until:
            time.sleep(0.01)
            for name in list(waiting):
                if (here / "out/runs" / name / "run.json").exists():  # training begins
                    time.sleep(0.3)
                    os.kill(job_of(f"out/runs/{name}"), signal.SIGUSR2)
                    waiting.remove(name)
                    preempted.append(name)

    thread = threading.Thread(target=preempt)
    thread.start()
    status = main([*words, "--executor=local"])
    thread.join()
    assert len(preempted) == 2
    assert status == 0
    for log in here.glob("out/runs/*/log.txt"):
        assert "going on from" in log.read_text(), log.read_text()
    assert len(list(here.glob("out/jobs/*_submitted.pkl"))) == 2  # no new jobs: the same again
    tally("requeued, same bits", assert_same_table(here / "out", undisturbed, assert_same_run))
