"""What a job of a cluster does: one `ganstoch fit`, stopped in time and begun again where it was.

Loaded by submitit on the machine where the job runs, so it imports little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ganstoch.runs.claim import BUSY
from ganstoch.runs.launching import is_finished, launch

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

__all__ = ["RowJob"]

_OURS = {signal.SIGUSR1, signal.SIGUSR2}
"""Signals that are for the job, not for its child, which they would kill."""
_THE_JOB_S = ("SLURM_", "SUBMITIT_")
"""Variables that describe the job: one task, to Lightning, even where it has several devices."""
_STOPPED = {-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT}
_GRACE = 60.0
"""Seconds that a job whose child was stopped by somebody else waits to be stopped too."""


@dataclass(eq=False)
class RowJob:
    """A run, as submitit pickles and calls it.

    Attributes:
        arguments: words behind `ganstoch fit`.
        folder: where the run goes.
        config_hash: of the run.
        environment: variables of the run beside the job's own; None for one to leave out.
    """

    arguments: tuple[str, ...]
    folder: Path
    config_hash: str
    environment: dict[str, str | None]
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> int:
        """The run's exit status; `BUSY` if another process is at work on it."""
        # From the signal's arrival on, the child must be known; and it inherits that it is deaf.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            self._child = launch(
                self.arguments,
                self.folder,
                config_hash=self.config_hash,
                environment=self._variables(),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        if self._child is None:
            return 0 if is_finished(self.folder, self.config_hash) else BUSY
        # Not by `wait`, which holds a lock that `checkpoint` needs, called in the midst of this.
        while (status := self._child.poll()) is None:
            time.sleep(0.2)
        if status in _STOPPED:
            time.sleep(_GRACE)
        return status

    def checkpoint(self) -> DelayedSubmission:
        """Stops the run, which leaves a checkpoint, and returns what goes on from it.

        submitit calls this from its signal handler, before a time limit or a preemption, and has
        the job queued again.
        """
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)
            with suppress(ChildProcessError):  # it may have ended before
                os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(replace(self))

    def _variables(self) -> dict[str, str]:
        """The child's environment, with as many threads as the job has cores."""
        cores = os.environ.get("SLURM_CPUS_PER_TASK") or str(len(os.sched_getaffinity(0)))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_THE_JOB_S)}
        asked = {"OMP_NUM_THREADS": cores, **self.environment}
        return {k: v for k, v in {**kept, **asked}.items() if v is not None}
