"""Forks `ganstoch` commands from a process that has imported everything: no start-up.

Reads one request a line from standard input, each a JSON object:

* ``words``: behind `ganstoch`; ``cwd`` and ``env``: where, and with which further variables;
* ``log``: file that standard output and standard error are appended to;
* ``kill``: None, or where the process kills itself: ``["step", 5]`` in its 5th step of an
  optimiser, ``["evaluation", 2]`` in its 2nd measurement, ``["half", 3]`` with half of the 3rd file
  that it writes written, ``["written", 3]`` before that file gets its name, ``["named", 3]`` after;
* ``weather``: what else is to happen: ``"full"`` or ``"read-only"``, the disk from the 3rd file
  on; ``"clock"``, which goes back by a day at every look; ``"seeds"``, other global
  seeds than the run's.

Answers with the process id, then, when it has ended, with its status (-9: killed).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning.cli
import torch

import ganstoch.cli
import ganstoch.records
import ganstoch.report.reports
import ganstoch.runs.fit
import ganstoch.runs.plan
import ganstoch.runs.pool
import ganstoch.runs.table
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.data import Digits

# Threads do not survive a fork.
torch.set_num_threads(1)


def count_to(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Acts at the ``number``-th call."""
    calls = []

    def call() -> None:
        calls.append(1)
        if len(calls) == number:
            act()

    return call


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment: str, number: int) -> None:
    """Has this process kill itself at a moment."""
    due = count_to(number, die)

    def before(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def method(*arguments: Any, **options: Any) -> Any:
            due()
            return original(*arguments, **options)

        setattr(owner, name, method)

    if moment == "step":
        before(torch.optim.Adam, "step")
    elif moment == "evaluation":
        before(Evaluation, "measure")
    elif moment == "written":
        ganstoch.records.os = Shim(os, replace=lambda *a: (due(), os.replace(*a)))
    elif moment == "named":
        ganstoch.records.os = Shim(os, replace=lambda *a: (os.replace(*a), due()))
    elif moment == "half":
        ganstoch.records.os = Shim(os, fdopen=lambda *a: HalfWriter(os.fdopen(*a), due))
    else:
        raise AssertionError(moment)


class Shim:
    """A module with some of its functions replaced."""

    def __init__(self, module: Any, **instead: Callable[..., Any]) -> None:
        self.__dict__.update(instead, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class HalfWriter:
    """A file that has half of what it is given on disk when the moment is asked for."""

    def __init__(self, file: Any, due: Callable[[], None]) -> None:
        self.file, self.due = file, due

    def __enter__(self) -> HalfWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: Any) -> None:
        content = memoryview(content)
        half = len(content) // 2
        self.file.write(content[:half])
        self.file.flush()
        self.due()
        self.file.write(content[half:])


class Forked:
    """What a table needs of `subprocess.Popen`, for a row that is forked rather than started."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            for stream, number in ((options["stdout"], 1), (options["stderr"], 2)):
                os.dup2(stream.fileno(), number)
            run(list(command[3:]), options["env"])

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def run(words: list[str], environment: dict[str, str]) -> None:
    """Runs a command and ends this process as Python would have."""
    status = 1
    os.environ.clear()
    os.environ.update(environment)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        status = ganstoch.cli.main(words)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def no_more_from(number: int, why: int) -> Callable[..., Any]:
    """`os.fsync` on a disk that takes no more from the ``number``-th file on."""
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(1)
        if len(calls) >= number:
            raise OSError(why, os.strerror(why))
        os.fsync(descriptor)

    return fsync


def clock_back() -> Callable[[], float]:
    """`time.time` that is a day earlier every time."""
    days = itertools.count()
    return lambda: 2e9 - 86_400 * next(days)


def other_seeds(seed: int | None = None, **options: Any) -> int:
    """`seed_everything` that gives Python, NumPy and torch seeds of their own."""
    random.seed(os.getpid())
    np.random.seed(os.getpid())
    torch.manual_seed(os.getpid())
    return seed or 0


def brew(weather: str | None) -> None:
    """Makes the weather."""
    if weather == "full":
        ganstoch.records.os = Shim(os, fsync=no_more_from(3, errno.ENOSPC))
    elif weather == "read-only":
        ganstoch.records.os = Shim(os, fsync=no_more_from(3, errno.EROFS))
    elif weather == "clock":
        time.time = clock_back()
    elif weather == "seeds":
        pytorch_lightning.cli.seed_everything = other_seeds


def begin(request: dict[str, Any]) -> None:
    """In the child: everything that a new process would have been given."""
    os.setsid()
    os.chdir(request["cwd"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    ganstoch.runs.pool.subprocess = Shim(subprocess, Popen=Forked)
    brew(request["weather"])
    if request["kill"]:
        arm(*request["kill"])
    run(request["words"], {**os.environ, **request["env"]})


def main() -> None:
    read_once = Digits().open(Path(), "train")  # enlarging them takes as long as training on them
    Digits.open = lambda self, root, split: read_once if split == "train" else None  # type: ignore
    ganstoch.runs.fit.understand([])  # makes a parser, which imports what parsing needs
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            begin(request)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
