"""Rows as jobs: what is asked of Slurm, what a job does when it is stopped. No cluster needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import submitit

from ganstoch.errors import UserError
from ganstoch.runs import row_job
from ganstoch.runs.claim import BUSY, take
from ganstoch.runs.cluster import Cluster, slurm_settings
from ganstoch.runs.row_job import RowJob
from ganstoch.runs.runner import Job


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["partition"], "--slurm wants KEY=VALUE on one line, got 'partition'"),
        (["partition="], "--slurm wants KEY=VALUE on one line, got 'partition='"),
        (["comment=a\n#SBATCH --uid=0"], "--slurm wants KEY=VALUE on one line"),
        (["nodes=2"], "--slurm has no key 'nodes'; there are account, "),
        (["gpus_per_node=one"], "--slurm gpus_per_node wants a number, got 'one'"),
        (["timeout_min=-1"], "--slurm timeout_min wants a number above 0, got -1"),
        (["mem_gb=nan"], "--slurm mem_gb wants a number above 0, got nan"),
        (["qos=a", "qos=b"], "--slurm gives qos twice"),
    ],
)
def test_settings_are_checked(words: list[str], complaint: str) -> None:
    with pytest.raises(UserError) as error:
        slurm_settings(words)
    assert str(error.value).startswith(complaint)


def test_settings_keep_their_types() -> None:
    words = ["partition=gpu", "gpus_per_node=2", "mem_gb=7.5", "setup=module load a", "setup=x=1"]
    assert slurm_settings(words) == {
        "partition": "gpu",
        "gpus_per_node": 2,
        "mem_gb": 7.5,
        "setup": ["module load a", "x=1"],
    }


def test_what_is_missing_is_named(
    here: Path,
    ganstoch: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("table1", "--preset", "mini", "--out", "out")
    monkeypatch.setenv("PATH", str(here))
    complaint = ganstoch(*words, "--executor", "slurm").complaint
    assert complaint == "no srun and sbatch here; give --executor slurm where Slurm jobs are sent"
    for executor in ((), ("--executor", "local")):
        complaint = ganstoch(*words, *executor, "--slurm", "qos=a").complaint
        assert complaint == "--slurm is for --executor slurm"
    monkeypatch.setitem(sys.modules, "submitit", None)
    complaint = ganstoch(*words, "--executor", "local").complaint
    assert complaint == "--executor needs submitit: pip install 'ganstoch[cluster]'"
    assert list(here.iterdir()) == []


@pytest.fixture
def slurm(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Stand-ins for Slurm's programs: sbatch takes scripts and runs nothing, sacct says a state."""
    folder = here / "bin"
    folder.mkdir()
    programs = {
        "sbatch": 'echo "$*" >> sbatch.txt; echo Submitted batch job $(wc -l < sbatch.txt)',
        "srun": "exit 1",
        "sacct": "cat sacct.txt",
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def says(state: str) -> None:
        jobs = "".join(f"{i}_{j}|{state}|\n" for i in (1, 2) for j in range(3))
        (here / "sacct.txt").write_text(f"JobID|State|NodeList\n{jobs}")
        submitit.SlurmJob.watcher.clear()

    says("PENDING")
    return says


def rows(here: Path, *names: str) -> list[Job]:
    return [Job(name, ["--seed=1"], here / "out" / name, 1.0, config_hash="c") for name in names]


def test_the_script_for_slurm(slurm: Callable[[str], None], here: Path) -> None:
    """The text that would be submitted; that Slurm does what it says is not tried here."""
    settings = ["partition=gpu", "gpus_per_node=1", "cpus_per_task=4", "mem_gb=16", "qos=a b"]
    cluster = Cluster("slurm", out=here / "out", settings=[*settings, "setup=ml cuda"], at_once=2)
    cluster._submit(rows(here, "a", "b", "c"), threads=1)
    (script,) = (here / "out" / "jobs").glob("1_submission.sh")
    lines = script.read_text().splitlines()
    for line in (
        *("--partition=gpu", "--gpus-per-node=1", "--cpus-per-task=4", "--mem=16GB", "--qos='a b'"),
        *("--array=0-2%2", "--time=240", "--signal=USR2@120", "--nodes=1", "--ntasks-per-node=1"),
        *("--job-name=ganstoch", "--open-mode=append"),
    ):
        assert f"#SBATCH {line}" in lines
    assert lines.index("ml cuda") < lines.index("export SUBMITIT_EXECUTOR=slurm")
    (command,) = [line for line in lines if line.startswith("srun ")]
    assert command.endswith(f"-u -m submitit.core._submit {here / 'out' / 'jobs'}")
    assert len(list((here / "out" / "jobs").glob("1_?_submitted.pkl"))) == 3
    row = submitit.SlurmJob(here / "out" / "jobs", "1_1").submission().function
    assert isinstance(row, RowJob)
    assert (row.arguments, row.folder, row.environment) == (("--seed=1",), here / "out" / "b", {})


def test_what_is_queued_is_not_submitted_again(slurm: Callable[[str], None], here: Path) -> None:
    def submit(*names: str) -> list[str]:
        cluster = Cluster("slurm", out=here / "out", settings=[], at_once=0)
        return [one.job.job_id for one in cluster._submit(rows(here, *names), threads=1)]

    assert submit("a", "b", "c") == ["1_0", "1_1", "1_2"]
    assert submit("a", "b", "c") == ["1_0", "1_1", "1_2"]
    slurm("RUNNING")
    assert submit("b", "d") == ["1_1", "2"]
    slurm("TIMEOUT")
    assert submit("c") == ["3"]
    assert len((here / "sbatch.txt").read_text().splitlines()) == 3


def test_what_sbatch_refuses_is_told(slurm: Callable[[str], None], here: Path) -> None:
    refusal = "sbatch: error: invalid partition specified: gpu"
    (here / "bin" / "sbatch").write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
    cluster = Cluster("slurm", out=here / "out", settings=["partition=gpu"], at_once=0)
    with pytest.raises(UserError, match=f"cannot submit: {refusal}"):
        cluster._submit(rows(here, "a", "b"), threads=1)


def test_a_job_that_slurm_ended_is_told(
    slurm: Callable[[str], None], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganstoch.runs.cluster._SLOW_DISK", 0.0)
    monkeypatch.setattr("ganstoch.runs.cluster._POLL", 0.0)
    cluster = Cluster("slurm", out=here / "out", settings=[], at_once=0)
    job, _ = jobs = rows(here, "a", "b")
    started, _ = cluster._submit(jobs, threads=1)
    assert started.poll() is None
    slurm("OUT_OF_MEMORY")
    assert started.poll() == 1
    assert job.failure is not None
    assert job.failure.startswith("its job 1_0 ended without a result (OUT_OF_MEMORY); see ")


PROGRAM = """
import os, signal, sys, time
def stop(*_):
    open('told', 'a').write('x')
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
open('variables', 'w').write('\\n'.join(sorted(os.environ)))
os.kill(os.getpid(), signal.SIGUSR2)  # as Slurm may do to all of a job's processes
open('ready', 'w').close()
time.sleep(600)
"""


@pytest.fixture
def row(here: Path, monkeypatch: pytest.MonkeyPatch) -> RowJob:
    """A row whose child is a small program."""

    def launch(*_: object, environment: dict[str, str], **__: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-S", "-c", PROGRAM], env=environment)

    monkeypatch.setattr(row_job, "launch", launch)
    return RowJob((), here / "a", "c", {"OMP_NUM_THREADS": "3", "LEFT_OUT": None})


@pytest.mark.parametrize("moment", [None, 0.0, 0.01, 0.05, 0.1, 0.19, 0.2, 0.21])
def test_a_stopped_job_stops_its_child_and_can_be_submitted_again(
    moment: float | None, row: RowJob, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the signal comes: from within the handler, as submitit calls it."""
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("LEFT_OUT", "1")
    again: list[Any] = []

    class Requeued(BaseException):
        pass

    def handler(number: int, frame: object) -> None:
        again.append(row.checkpoint())
        raise Requeued

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        if moment is None:  # a signal that was there before the child
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
        else:
            wait = kill_once(here / "ready", then=moment)
        with pytest.raises(Requeued):
            row()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert row._child is not None
    assert row._child.wait() in (143, -signal.SIGTERM)
    if moment is not None:
        wait.join()
        assert (here / "told").read_text() == "x"
        variables = (here / "variables").read_text().split()
        assert "OMP_NUM_THREADS" in variables
        assert [v for v in variables if v.startswith(("SLURM_", "SUBMITIT_", "LEFT"))] == []
    (submission,) = again
    fresh = submission.function
    assert fresh._child is None
    assert (fresh.arguments, fresh.folder) == (row.arguments, row.folder)
    assert (fresh.config_hash, fresh.environment) == (row.config_hash, row.environment)


def kill_once(ready: Path, *, then: float) -> threading.Thread:
    """Sends this process the signal a moment after a file is there."""

    def wait() -> None:
        while not ready.exists():
            time.sleep(0.01)
        time.sleep(then)
        os.kill(os.getpid(), signal.SIGUSR2)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_job_whose_run_is_another_s(here: Path) -> None:
    row = RowJob((), here / "a", "c", {})
    held = take(here / "a")
    assert row() == BUSY
    os.close(held)
