"""The rows of a sweep as jobs, through submitit, whose pickles are our own, below ``OUT/jobs``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganstoch.errors import UserError
from ganstoch.records import is_finished, write_atomically
from ganstoch.runs.pool import Row, launch

if TYPE_CHECKING:
    import submitit
    from submitit.helpers import DelayedSubmission

Executor = Literal["local", "slurm"]

# What `--slurm` takes, and of what type.
_TYPES: dict[str, type] = {
    **dict.fromkeys(("cpus_per_task", "gpus_per_node", "signal_delay_s", "timeout_min"), int),
    "mem_gb": float,
    **dict.fromkeys(("account", "comment", "constraint", "exclude", "gres", "mail_type"), str),
    **dict.fromkeys(("mail_user", "nodelist", "partition", "qos", "setup"), str),
}
# Keys that submitit knows for every kind of cluster; it wants the others prefixed.
_GENERIC = {"cpus_per_task", "gpus_per_node", "timeout_min", "mem_gb"}
_SIGNALS = {signal.SIGUSR1, signal.SIGUSR2}  # Slurm's for the job; they would kill its child
_STOPPED = {-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT}
_GRACE_S = 60.0  # how long a job whose child somebody else stopped waits to be stopped too
_SLOW_DISK_S = 15.0  # in which a result appears on a shared disk after its job has ended


def slurm_settings(words: Sequence[str]) -> dict[str, Any]:
    """The KEY=VALUE words of `--slurm`, checked; only ``setup`` may come repeatedly."""
    settings: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in _TYPES or not text or "\n" in text:
            raise UserError(
                f"--slurm needs KEY=VALUE on one line, KEY one of {', '.join(sorted(_TYPES))}; "
                f"got {word!r}"
            )
        if key == "setup":
            settings[key] = [*settings.get(key, []), text]
            continue
        try:
            value = _TYPES[key](text)
        except ValueError:
            value = 0
        if key in settings or not (isinstance(value, str) or 0 < value < 10**9):
            raise UserError(f"--slurm {key} must come once, numbers above 0; got {word!r}")
        settings[key] = value
    return settings


def make_executor(
    kind: Executor, folder: Path, *, slurm: Sequence[str], at_once: int
) -> submitit.AutoExecutor:
    """The executor of submitit with our settings; Slurm runs ``at_once`` jobs, 0 for no limit."""
    settings = slurm_settings(slurm)
    try:
        import submitit
    except ImportError as error:
        raise UserError("--executor needs submitit: pip install 'ganstoch[cluster]'") from error
    if kind == "slurm":
        if shutil.which("srun") is None or shutil.which("sbatch") is None:
            raise UserError("no srun and sbatch here; give --executor slurm where Slurm runs")
        # A signal comes 120 s before the limit: time for an iteration, a measurement, a checkpoint.
        settings = {"timeout_min": 240, "signal_delay_s": 120, **settings}
        settings = {k if k in _GENERIC else f"slurm_{k}": v for k, v in settings.items()}
        settings["slurm_array_parallelism"] = at_once or 10**6
    else:
        settings = {"timeout_min": 10 * 365 * 24 * 60}
    # No end to being requeued: each time the row goes on from where it was.
    executor = submitit.AutoExecutor(folder, cluster=kind, **{f"{kind}_max_num_timeout": 10**6})
    executor.update_parameters(name="ganstoch", nodes=1, tasks_per_node=1, **settings)
    return executor


class Jobs:
    """Starts rows as jobs that outlive this process, with their ids in ``OUT/jobs/ROW.job``."""

    def __init__(self, executor: submitit.AutoExecutor) -> None:
        self.executor = executor

    def __call__(self, rows: Sequence[Row], *, threads: int) -> list[_Submitted]:
        """The rows' jobs; on this machine with so many threads each."""
        import submitit

        environment: dict[str, str | None] = {}
        if self.executor.cluster == "local":  # submitit would hide the devices
            devices = os.environ.get("CUDA_VISIBLE_DEVICES")
            environment = {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": devices}
        jobs = {row: self._earlier(row) for row in rows}
        new = [row for row in rows if jobs[row] is None]
        new = [row for row in new if not is_finished(row.folder, row.config_hash)]
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # jobs inherit that: Ctrl-C is ours
        try:
            with redirect_stderr(StringIO()):  # sbatch's words are in the error
                made = self.executor.map_array(RowJob(environment), new) if new else []
            for row, job in zip(new, made, strict=True):
                write_atomically(self._id_file(row), job.job_id.encode())
        except (RuntimeError, OSError, submitit.core.utils.FailedSubmissionError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise UserError(f"cannot submit: {lines[-1] if lines else repr(error)}") from error
        finally:
            signal.signal(signal.SIGINT, before)
        if new:
            print(f"submitted {len(new)}; the jobs go on by themselves: {self.executor.folder}")
        jobs |= zip(new, made, strict=True)
        return [_Submitted(row, jobs[row]) for row in rows]

    def _id_file(self, row: Row) -> Path:
        return Path(self.executor.folder, f"{row.folder.name}.job")

    def _earlier(self, row: Row) -> submitit.Job[int] | None:
        """The job of an earlier command, unless it has ended."""
        import submitit

        file = self._id_file(row)
        if not file.exists():
            return None
        kind = submitit.SlurmJob if self.executor.cluster == "slurm" else submitit.LocalJob
        job: submitit.Job[int] = kind(self.executor.folder, file.read_text().strip())
        if _is_over(job):
            return None
        print(f"{row.label} waits for job {job.job_id}; to submit it anew, remove {file}")
        return job


def _is_over(job: submitit.Job[int]) -> bool:
    """Whether a job has ended; submitit itself forgets local ones of another process."""
    import submitit

    if not isinstance(job, submitit.LocalJob) or job._process is not None:
        return bool(job.done())
    try:
        return b"submitit" not in Path(f"/proc/{job.job_id}/cmdline").read_bytes()
    except OSError:
        return True


class RowJob:
    """What a job does: one `ganstoch fit`, stopped in time and begun again where it was."""

    def __init__(self, environment: Mapping[str, str | None]) -> None:
        self.environment = dict(environment)  # beside the job's own; None for one to leave out
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, row: Row) -> int:
        """The run's exit status."""
        if is_finished(row.folder, row.config_hash):
            return 0
        # Blocked until the child is known, and so that it inherits that they are not for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._child = launch(row, self._variables())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        # Not by `wait`, which holds a lock that `checkpoint` needs, called in the midst of this.
        while (status := self._child.poll()) is None:
            time.sleep(0.2)
        if status in _STOPPED:
            time.sleep(_GRACE_S)
        return status

    def checkpoint(self, row: Row) -> DelayedSubmission:
        """Stops the run before a limit or a preemption; submitit queues what goes on from it."""
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)
            with suppress(ChildProcessError):  # it may have ended before
                os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(RowJob(self.environment), row)

    def _variables(self) -> dict[str, str]:
        """Without what describes the job: one task, to Lightning, even on several devices."""
        cores = os.environ.get("SLURM_CPUS_PER_TASK") or str(len(os.sched_getaffinity(0)))
        own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SUBMITIT_"))}
        variables = {**own, "OMP_NUM_THREADS": cores, **self.environment}
        return {key: value for key, value in variables.items() if value is not None}


class _Submitted:
    """A row as the pool looks at it: its job, which goes on without us, or None if finished."""

    def __init__(self, row: Row, job: submitit.Job[int] | None) -> None:
        self.row = row
        self.job = job
        self._ended: float | None = None

    def poll(self) -> int | None:
        """The run's exit status; 1, and the row's failure told, if the job never got to any."""
        if self.job is None:
            return 0
        if not _is_over(self.job):
            return None
        path = self.job.paths
        if not path.result_pickle.exists():
            self._ended = self._ended or time.monotonic()
            if time.monotonic() < self._ended + _SLOW_DISK_S:
                return None
            how = f"ended without a result ({self.job.state})"
        elif self.job.exception() is None:
            return int(self.job.result())
        else:
            how = "failed"
        self.row.failure = f"its job {self.job.job_id} {how}; see {path.stderr}"
        return 1

    def send_signal(self, number: int, /) -> None:
        """Nothing."""

    def wait(self) -> int:
        """Not at all."""
        return 0
