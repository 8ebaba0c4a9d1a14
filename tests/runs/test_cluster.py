"""Rows as jobs: what is asked of Slurm. What a stopped job does is in tests/trust."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import submitit

from ganstoch.errors import UserError
from ganstoch.runs import cluster
from ganstoch.runs.cluster import Jobs, RowJob, make_executor, slurm_settings
from ganstoch.runs.pool import Row, run_rows

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["partition"], "partition"),
        (["partition="], "partition"),
        (["comment=a\n#SBATCH --uid=0"], "comment"),
        (["nodes=2"], "nodes"),
        (["gpus_per_node=one"], "gpus_per_node"),
        (["timeout_min=-1"], "timeout_min"),
        (["mem_gb=nan"], "mem_gb"),
        (["qos=a", "qos=b"], "qos"),
    ],
)
def test_settings_are_checked(words: list[str], part: str) -> None:
    with pytest.raises(UserError, match=part):
        slurm_settings(words)


def test_missing_is_named(here: Path, ganstoch: Any, monkeypatch: Patch) -> None:
    words = ("table1", "--preset", "mini", "--out", "out")
    monkeypatch.setenv("PATH", str(here))
    assert "--executor slurm" in ganstoch(*words, "--executor", "slurm").complaint
    for executor in ((), ("--executor", "local")):
        assert "--slurm" in ganstoch(*words, *executor, "--slurm", "qos=a").complaint
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "ganstoch[cluster]" in ganstoch(*words, "--executor", "local").complaint
    assert list(here.iterdir()) == []


@pytest.fixture
def slurm(here: Path, monkeypatch: Patch) -> Callable[[str], None]:
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


def rows(here: Path, names: str) -> list[Row]:
    return [Row(name, ["--seed=1"], here / "out" / name, 1.0, config_hash="c") for name in names]


def submit(rows: list[Row], here: Path, *slurm: str) -> None:
    """Submits rows and waits until all are told of."""
    jobs = Jobs(make_executor("slurm", here / "out" / "jobs", slurm=slurm, at_once=0))
    run_rows(rows, parallel=len(rows), start=partial(jobs, threads=1))


def test_the_script_for_slurm(slurm: Any, here: Path) -> None:
    settings = ["partition=gpu", "gpus_per_node=1", "cpus_per_task=4", "mem_gb=16", "qos=a b"]
    settings += ["setup=ml cuda", "setup=x=1"]
    executor = make_executor("slurm", here / "out" / "jobs", slurm=settings, at_once=2)
    executor.map_array(RowJob({}), rows(here, "abc"))
    (script,) = (here / "out" / "jobs").glob("1_submission.sh")
    lines = script.read_text().splitlines()
    for line in (
        *("--partition=gpu", "--gpus-per-node=1", "--cpus-per-task=4", "--mem=16GB", "--qos='a b'"),
        *("--array=0-2%2", "--time=240", "--signal=USR2@120", "--nodes=1", "--ntasks-per-node=1"),
        *("--job-name=ganstoch", "--open-mode=append"),
    ):
        assert f"#SBATCH {line}" in lines
    at = [lines.index(line) for line in ("ml cuda", "x=1", "export SUBMITIT_EXECUTOR=slurm")]
    assert at == sorted(at)
    submission = submitit.SlurmJob(here / "out" / "jobs", "1_1").submission()
    assert isinstance(submission.function, RowJob)
    (row,) = submission.args
    assert (row.arguments, row.folder) == (["--seed=1"], here / "out" / "b")


def test_what_sbatch_refuses_is_told(slurm: Any, here: Path) -> None:
    refusal = "sbatch: error: invalid partition specified: gpu"
    (here / "bin" / "sbatch").write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
    with pytest.raises(UserError, match=refusal):
        submit(rows(here, "ab"), here, "partition=gpu")


def test_a_queued_job_is_not_submitted_twice(slurm: Any, here: Path, monkeypatch: Patch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ganstoch.runs.pool.time.sleep", interrupt)
    for names, submissions in ("a", 1), ("a", 1), ("ab", 2):
        with pytest.raises(KeyboardInterrupt):
            submit(rows(here, names), here)
        assert len((here / "sbatch.txt").read_text().splitlines()) == submissions
    assert (here / "out" / "jobs" / "a.job").read_text() == "1"


def test_a_job_that_slurm_ended_is_told(
    slurm: Any, here: Path, monkeypatch: Patch, capsys: Any
) -> None:
    monkeypatch.setattr("ganstoch.runs.cluster._SLOW_DISK_S", 0.0)
    slurm("OUT_OF_MEMORY")
    jobs = rows(here, "ab")
    submit(jobs, here)
    lines = capsys.readouterr().out.splitlines()
    failed = sorted(line.split(":")[0] for line in lines if line.startswith("FAILED"))
    assert failed == ["FAILED a", "FAILED b"]
    assert all("OUT_OF_MEMORY" in str(row.failure) for row in jobs)


def test_a_job_of_a_finished_run_starts_nothing(here: Path, monkeypatch: Patch) -> None:
    job = RowJob({})
    monkeypatch.setattr(cluster, "is_finished", lambda *_: True)
    assert job(rows(here, "a")[0]) == 0
    assert job._child is None
