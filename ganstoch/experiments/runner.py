"""Runs several `ganstoch fit` as processes of their own, with one display for all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ganstoch.errors import UserError
from ganstoch.records import Record, read_record

__all__ = ["Job", "run_jobs"]


@dataclass(slots=True, eq=False)
class Job:
    """One run to be made.

    Attributes:
        label: how the display names it.
        arguments: words behind `ganstoch fit`.
        folder: where it goes.
        work: rough cost, in any unit common to all jobs.
        after: folder of the run that must be finished before, if any.
        failure: why it failed, or None.
    """

    label: str
    arguments: list[str]
    folder: Path
    work: float
    after: Path | None = None
    failure: str | None = field(default=None, init=False)


def run_jobs(
    jobs: Sequence[Job], *, parallel: int, threads: int, say: Callable[[str], None]
) -> None:
    """Runs the jobs, the costliest first; a failing one is noted and does not stop the others.

    Args:
        jobs: what to run.
        parallel: how many at once.
        threads: CPU threads for each.
        say: receives a line for each job that ends.

    Raises:
        KeyboardInterrupt: after the running jobs have left their checkpoints.
    """
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)  # or the runs would outlive this process
        try:
            _run_jobs(jobs, parallel=parallel, threads=threads, say=say)
        finally:
            signal.signal(signal.SIGTERM, before)
    else:
        _run_jobs(jobs, parallel=parallel, threads=threads, say=say)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _run_jobs(
    jobs: Sequence[Job], *, parallel: int, threads: int, say: Callable[[str], None]
) -> None:
    waiting = sorted(jobs, key=lambda job: -job.work)
    running: dict[Job, subprocess.Popen[bytes]] = {}
    done = 0.0
    bar = tqdm(
        total=round(sum(job.work for job in jobs)),
        bar_format="{percentage:3.0f}%|{bar}| {elapsed}, {remaining} to go{postfix}",
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        ncols=None if sys.stderr.isatty() else 100,
        dynamic_ncols=sys.stderr.isatty(),
        file=sys.stderr,
    )
    try:
        while waiting or running:
            for job in [job for job in waiting if _ready(job, waiting, running)]:
                if len(running) == parallel:
                    break
                waiting.remove(job)
                if job.after is not None and not (job.after / "record.json").exists():
                    job.failure = f"it waits for {job.after.name}, which failed"
                    say(f"FAILED {job.label}: {job.failure}")
                else:
                    running[job] = _start(job, threads=threads)
            time.sleep(0.2)
            for job, process in list(running.items()):
                if process.poll() is not None:
                    del running[job]
                    done += job.work
                    job.failure = _failure(job, process.returncode)
                    with tqdm.external_write_mode(sys.stderr):
                        say(_line(job))
            now = done + sum(job.work * _share(job) for job in running)
            bar.set_postfix_str(f"{len(waiting) + len(running)} runs left", refresh=False)
            bar.update(round(now) - bar.n)
    finally:
        bar.close()
        for process in running.values():
            process.send_signal(signal.SIGTERM)  # each leaves a checkpoint first
        for process in running.values():
            process.wait()


def _ready(job: Job, waiting: Sequence[Job], running: dict[Job, subprocess.Popen[bytes]]) -> bool:
    return all(other.folder != job.after for other in (*waiting, *running))


def _start(job: Job, *, threads: int) -> subprocess.Popen[bytes]:
    job.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ganstoch.cli", "fit", *job.arguments]
    command += [f"--out={job.folder}", "--quiet=true"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    with (job.folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )


def _failure(job: Job, status: int) -> str | None:
    """Why a job that has ended with ``status`` left no record; None if it left one."""
    if status == 0:
        return None
    lines = (job.folder / "log.txt").read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no word of why")
    return f"{last.removeprefix('ganstoch: ')} (status {status}; see {job.folder / 'log.txt'})"


def _line(job: Job) -> str:
    if job.failure is not None:
        return f"FAILED {job.label}: {job.failure}"
    try:
        record = read_record(job.folder / "record.json")
    except UserError as error:
        job.failure = str(error)
        return f"FAILED {job.label}: {error}"
    return (
        f"done   {job.label}: {_result(record)}, {record.iterations:,} iterations, "
        f"{record.seconds:.0f} s"
    )


def _result(record: Record) -> str:
    """What a run came to, in a few words."""
    metrics, name = record.metrics, "pixel_l1/mean"
    if "modes/count" in metrics:
        return (
            f"{metrics['modes/count']:.0f} of {metrics['modes/of']:.0f} modes, "
            f"{metrics['modes/good_share']:.1%} good"
        )
    return (
        f"overfitting {metrics[f'overfitting/{name}']:.2f}, "
        f"mode drop {metrics[f'mode_drop/{name}']:.2f}"
    )


def _share(job: Job) -> float:
    """How much of a running job is done."""
    try:
        state = json.loads((job.folder / "progress.json").read_bytes())
        return min(1.0, float(state["iteration"]) / float(state["of"]))
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return 0.0  # it has not got that far
