"""Rows as jobs of a cluster, or of this machine, through submitit.

submitit pickles what it submits and what comes back. These pickles are files of our own below
``OUT/jobs``; nothing that comes from elsewhere is read that way.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ganstoch.data.cache import locked
from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.runs.row_job import RowJob
from ganstoch.runs.runner import Job, run_jobs

if TYPE_CHECKING:
    import submitit

__all__ = ["Cluster", "Kind", "slurm_settings"]

Kind = Literal["local", "slurm"]

_TYPES: dict[str, type] = {
    **dict.fromkeys(("cpus_per_task", "gpus_per_node", "signal_delay_s", "timeout_min"), int),
    "mem_gb": float,
    **dict.fromkeys(("account", "comment", "constraint", "exclude", "gres", "mail_type"), str),
    **dict.fromkeys(("mail_user", "nodelist", "partition", "qos", "setup"), str),
}
"""What `--slurm` takes, and of what type."""
_GENERIC = {"cpus_per_task", "gpus_per_node", "timeout_min", "mem_gb"}
"""Keys that submitit knows for every kind of cluster; it wants the others prefixed."""
_HOURS_4 = 240
_DELAY = 120
"""Seconds from the signal to the end, for an iteration, a measurement and a checkpoint."""
_FOR_EVER = 10 * 365 * 24 * 60
"""Minutes: a local job has no limit."""
_POLL = 1.0
_SLOW_DISK = 15.0
"""Seconds that a result may take to appear on a shared disk after its job has ended."""


def slurm_settings(words: Sequence[str]) -> dict[str, object]:
    """The values of `--slurm`, as submitit takes them.

    Args:
        words: KEY=VALUE each; ``setup``, a line of shell to be run before, may come repeatedly.

    Raises:
        UserError: for an unknown key, a wrong value, or a key given twice.
    """
    found: dict[str, object] = {}
    setup: list[str] = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not text or "\n" in text:
            raise UserError(f"--slurm wants KEY=VALUE on one line, got {word!r}")
        if key not in _TYPES:
            raise UserError(f"--slurm has no key {key!r}; there are {', '.join(sorted(_TYPES))}")
        if key == "setup":
            setup.append(text)
            continue
        if key in found:
            raise UserError(f"--slurm gives {key} twice")
        try:
            found[key] = value = _TYPES[key](text)
        except ValueError as error:
            raise UserError(f"--slurm {key} wants a number, got {text!r}") from error
        if isinstance(value, int | float) and not 0 < value < 10**9:
            raise UserError(f"--slurm {key} wants a number above 0, got {text}")
    if setup:
        found["setup"] = setup
    return found


class Cluster:
    """Where a sweep's rows are submitted to."""

    def __init__(self, kind: Kind, *, out: Path, settings: Sequence[str], at_once: int) -> None:
        """Submits nothing yet.

        Args:
            kind: a Slurm cluster, or this machine.
            out: folder of the sweep; the jobs' files go below it.
            settings: KEY=VALUE for the cluster.
            at_once: how many of a submission's jobs run at once; 0 for no limit.

        Raises:
            UserError: if submitit is not installed, there is no such cluster here, or a setting is
                wrong.
        """
        if settings and kind != "slurm":
            raise UserError("--slurm is for --executor slurm")
        asked = slurm_settings(settings)
        try:
            import submitit
        except ImportError as error:
            raise UserError("--executor needs submitit: pip install 'ganstoch[cluster]'") from error
        self.kind = kind
        self.out = out
        self.folder = out / "jobs"
        self.at_once = at_once
        if kind == "slurm":
            _require_slurm()
            # No end to being requeued: each time the row goes on from where it was.
            self.executor = submitit.AutoExecutor(
                self.folder, cluster="slurm", slurm_max_num_timeout=10**6
            )
            asked = {"timeout_min": _HOURS_4, "signal_delay_s": _DELAY, **asked}
            asked = {k if k in _GENERIC else f"slurm_{k}": v for k, v in asked.items()}
            asked["slurm_array_parallelism"] = at_once or 10**6
        else:
            self.executor = submitit.AutoExecutor(
                self.folder, cluster="local", local_max_num_timeout=10**6
            )
            asked = {"timeout_min": _FOR_EVER}
        self.executor.update_parameters(name="ganstoch", nodes=1, tasks_per_node=1, **asked)

    def run(
        self, jobs: Sequence[Job], *, parallel: int, threads: int, say: Callable[[str], None]
    ) -> None:
        """As `run_jobs`, but for where the jobs run, and that Ctrl-C does not stop them.

        Args:
            jobs: what to run.
            parallel: how many at once on this machine; on a cluster, its queue decides.
            threads: CPU threads for each on this machine; on a cluster, as it has cores.
            say: receives a line for each job that ends.

        Raises:
            KeyboardInterrupt: at once.
        """
        if self.kind == "slurm":
            parallel = len(jobs)

        def start(jobs: Sequence[Job]) -> list[_Submitted]:
            return self._submit(jobs, threads=threads)

        try:
            run_jobs(jobs, parallel=parallel, threads=threads, say=say, start=start)
        except KeyboardInterrupt:
            say(
                f"submitted jobs go on, their files are in {self.folder}; to look at what is there "
                f"use --report --out {self.out}; the same command waits for them again"
            )
            raise

    def _submit(self, jobs: Sequence[Job], *, threads: int) -> list[_Submitted]:
        """Submits jobs that are not in the queue already, all of them as one array."""
        import submitit

        # One process at a time, so that no two submit the same row.
        with locked(self.folder / "submitting", doing="submit its jobs"):
            known = {job: found for job in jobs if (found := self._queued(job)) is not None}
            fresh = [job for job in jobs if job not in known]
            rows = [self._row(job, threads=threads) for job in fresh]
            try:
                with (
                    _deaf_to_ctrl_c(),
                    redirect_stderr(StringIO()),
                ):  # sbatch's words are told below
                    submitted = self.executor.submit_array(rows) if rows else []
            except (RuntimeError, OSError, submitit.core.utils.FailedSubmissionError) as error:
                lines = [line for line in str(error).splitlines() if line.strip()]
                why = lines[-1] if lines else repr(error)
                raise UserError(f"cannot submit: {why}") from error
            for job, one in zip(fresh, submitted, strict=True):
                write_atomically(self._ticket(job), one.job_id.encode())
                known[job] = one
        return [_Submitted(job, known[job]) for job in jobs]

    def _row(self, job: Job, *, threads: int) -> RowJob:
        environment: dict[str, str | None] = {}
        if self.kind == "local":  # submitit would hide the devices
            devices = os.environ.get("CUDA_VISIBLE_DEVICES")
            environment = {"CUDA_VISIBLE_DEVICES": devices, "OMP_NUM_THREADS": str(threads)}
        return RowJob(tuple(job.arguments), job.folder, job.config_hash, environment)

    def _queued(self, job: Job) -> submitit.Job[int] | None:
        """What an earlier command has submitted for a row, if it waits or runs still."""
        import submitit

        ticket = self._ticket(job)
        if self.kind == "local" or not ticket.exists():
            return None  # a local job is known by its claim
        queued: submitit.Job[int] = submitit.SlurmJob(self.folder, ticket.read_text().strip())
        if queued.done(force_check=True) or queued.state == "UNKNOWN":
            return None
        return queued

    def _ticket(self, job: Job) -> Path:
        """The file that keeps the number of a row's job."""
        return self.folder / f"{job.folder.name}.job"


class _Submitted:
    """A job of the cluster, as the runner looks at it."""

    def __init__(self, row: Job, job: submitit.Job[int]) -> None:
        self.row = row
        self.job = job
        self._next = 0.0
        self._ended: float | None = None

    def poll(self) -> int | None:
        """The run's exit status; 1, and the row's failure told, if the job never got to any."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + _POLL
        if not self.job.done():
            return None
        path = self.job.paths
        if not path.result_pickle.exists():
            self._ended = self._ended or now
            if now < self._ended + _SLOW_DISK:
                return None
            how = f"ended without a result ({self.job.state})"
        elif self.job.exception() is None:
            return int(self.job.result())
        else:
            how = "failed"
        self.row.failure = f"its job {self.job.job_id} {how}; see {path.stderr}"
        return 1

    def send_signal(self, number: int, /) -> None:
        """Nothing: it goes on without us."""

    def wait(self) -> int:
        """Not at all."""
        return 0


def _require_slurm() -> None:
    import shutil

    if shutil.which("srun") is None or shutil.which("sbatch") is None:
        raise UserError("no srun and sbatch here; give --executor slurm where Slurm jobs are sent")


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Children started in this block do not hear Ctrl-C, which goes to all of a terminal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
