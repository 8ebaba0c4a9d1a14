"""Runs several `ganstoch fit` as processes of their own, with one display for all of them.

Other processes may be at the same runs, here or on another machine: whoever claims a run first
makes it, and all the others wait for its record.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from ganstoch.errors import UserError
from ganstoch.records import Record, read_record
from ganstoch.runs.claim import BUSY, is_claimed
from ganstoch.runs.launching import LOG, has_record, is_finished, launch

__all__ = ["Job", "Start", "Started", "run_jobs"]

_LOOK = 2.0
"""Seconds between two looks at the runs of other processes."""


@dataclass(slots=True, eq=False)
class Job:
    """One run to be made.

    Attributes:
        label: how the display names it.
        arguments: words behind `ganstoch fit`.
        folder: where it goes.
        work: rough cost, in any unit common to all jobs.
        config_hash: of the run, as its record will have it.
        after: folder of the run that must be finished before, if any.
        place: among all rows of the sweep that can be trained, from 0.
        failure: why it failed, or None.
    """

    label: str
    arguments: list[str]
    folder: Path
    work: float
    config_hash: str
    after: Path | None = None
    place: int = 0
    failure: str | None = field(default=None, init=False)


class Started(Protocol):
    """A run that was started: a process of ours, or a job of a cluster."""

    def poll(self) -> int | None:
        """Its exit status, once it has ended."""

    def send_signal(self, number: int, /) -> None:
        """Asks it to leave a checkpoint and end."""

    def wait(self) -> int:
        """Waits until it has."""


Start = Callable[[Sequence[Job]], Iterable[Started | None]]
"""Starts jobs; None for one that another process is at work on, or has finished."""


def run_jobs(
    jobs: Sequence[Job],
    *,
    parallel: int,
    threads: int,
    say: Callable[[str], None],
    start: Start | None = None,
) -> None:
    """Runs the jobs, the costliest first; a failing one is noted and does not stop the others.

    One that another process is at work on takes none of the places: it is waited for, and started
    here if that process ends without finishing it.

    Args:
        jobs: what to run.
        parallel: how many at once.
        threads: CPU threads for each.
        say: receives a line for each job that ends.
        start: starts jobs; as processes of this one, if unset.

    Raises:
        KeyboardInterrupt: after the running jobs have left their checkpoints.
    """
    board = _Board(
        jobs,
        parallel=parallel,
        start=start or (lambda jobs: (_start(job, threads=threads) for job in jobs)),
        say=say,
    )
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)  # or the runs would outlive this process
        try:
            board.run()
        finally:
            signal.signal(signal.SIGTERM, before)
    else:
        board.run()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _start(job: Job, *, threads: int) -> Started | None:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    return launch(job.arguments, job.folder, config_hash=job.config_hash, environment=environment)


class _Board:
    """Which jobs wait, which run here and which run elsewhere."""

    def __init__(
        self, jobs: Sequence[Job], *, parallel: int, start: Start, say: Callable[[str], None]
    ) -> None:
        self.waiting = sorted(jobs, key=lambda job: -job.work)
        self.running: dict[Job, Started] = {}
        self.elsewhere: set[Job] = set()  # those waiting that another process was seen at work on
        self.parallel = parallel
        self.start = start
        self.say = say
        self.done = 0.0
        self.next_look = 0.0
        self.bar = tqdm(
            total=round(sum(job.work for job in jobs)),
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}, {remaining} to go{postfix}",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            ncols=None if sys.stderr.isatty() else 100,
            dynamic_ncols=sys.stderr.isatty(),
            file=sys.stderr,
        )

    def run(self) -> None:
        """Until every job has ended."""
        try:
            while self.waiting or self.running:
                self._start_some()
                time.sleep(0.2)
                self._collect()
                self._show()
        finally:
            self.bar.close()
            for started in self.running.values():
                started.send_signal(signal.SIGTERM)  # each leaves a checkpoint first
            for started in self.running.values():
                started.wait()

    def _start_some(self) -> None:
        """Fills the places that are free, and looks after the jobs that are elsewhere."""
        looking = time.monotonic() >= self.next_look
        if looking:
            self.next_look = time.monotonic() + _LOOK
        chosen: list[Job] = []
        for job in [job for job in self.waiting if self._is_ready(job)]:
            free = len(self.running) + len(chosen) < self.parallel
            if not (looking if job in self.elsewhere else free):
                continue
            if is_finished(job.folder, job.config_hash):
                self._end(job, f"done   {job.label}: {_came_to(job)} (by another process)")
            elif job.after is not None and not has_record(job.after):
                job.failure = f"it waits for {job.after.name}, which failed"
                self._end(job, f"FAILED {job.label}: {job.failure}")
            elif is_claimed(job.folder):
                self.elsewhere.add(job)
            else:
                self.elsewhere.discard(job)
                if free:
                    chosen.append(job)
        for job, started in zip(chosen, self.start(chosen) if chosen else (), strict=True):
            if started is None:
                self.elsewhere.add(job)
            else:
                self.waiting.remove(job)
                self.running[job] = started

    def _is_ready(self, job: Job) -> bool:
        return all(other.folder != job.after for other in (*self.waiting, *self.running))

    def _collect(self) -> None:
        """Takes note of what has ended here."""
        for job, started in list(self.running.items()):
            status = started.poll()
            if status is None:
                continue
            del self.running[job]
            self.waiting.append(job)
            if status == BUSY:
                self.elsewhere.add(job)
                continue
            job.failure = job.failure or _failure(job, status)
            self._end(job, _line(job))

    def _end(self, job: Job, line: str) -> None:
        self.waiting.remove(job)
        self.elsewhere.discard(job)
        self.done += job.work
        with tqdm.external_write_mode(sys.stderr):
            self.say(line)

    def _show(self) -> None:
        under_way = sum(job.work * _share(job) for job in (*self.running, *self.elsewhere))
        left = f"{len(self.waiting) + len(self.running)} runs left"
        if self.elsewhere:
            left += f", {len(self.elsewhere)} of them by other processes"
        self.bar.set_postfix_str(left, refresh=False)
        self.bar.update(round(self.done + under_way) - self.bar.n)


def _failure(job: Job, status: int) -> str | None:
    """Why a job that has ended with ``status`` left no record; None if it left one."""
    if status == 0:
        return None
    log = job.folder / LOG
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no word of why")
    return f"{last.removeprefix('ganstoch: ')} (status {status}; see {log})"


def _line(job: Job) -> str:
    if job.failure is not None:
        return f"FAILED {job.label}: {job.failure}"
    try:
        return f"done   {job.label}: {_came_to(job)}"
    except UserError as error:
        job.failure = str(error)
        return f"FAILED {job.label}: {error}"


def _came_to(job: Job) -> str:
    """What a finished job came to, in a few words."""
    record = read_record(job.folder / "record.json")
    return f"{_result(record)}, {record.iterations:,} iterations, {record.seconds:.0f} s"


def _result(record: Record) -> str:
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
