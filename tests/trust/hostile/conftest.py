"""A place where hostile input is tried: everything that a refused command leaves behind is seen."""

import contextlib
import io
import logging
import os
import resource
import shutil
import signal
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase

from ganstoch.cli import main

PATIENCE = 10.0
"""Seconds that a refusal may take; starting up is over by then."""
MEMORY = 2**29
"""Bytes that a refusal may take beyond what was taken before."""
QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python shows to nobody."""

# The same inputs at every run; nothing is kept, and nothing made smaller once it fails.
hypothesis.settings.register_profile(
    "hostile",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Late(BaseException):
    """What ends a command that hangs; no handler of the program's own may catch it."""


class Ground:
    """A working directory with a home and a folder for temporary files below it."""

    def __init__(self, folder: Path, fit: list[str]) -> None:
        self.folder, self.fit = folder, fit
        self.count: Callable[[], object] = int

    def listing(self) -> dict[Path, tuple[int, int]]:
        """Everything here, with its size and when it was last changed."""
        entries = {path: path.lstat() for path in self.folder.rglob("*")}
        return {path: (status.st_size, status.st_mtime_ns) for path, status in entries.items()}

    def ask(self, *words: object) -> tuple[object, str]:
        """Carries out a command: its status, and what it said on standard error."""
        # As Python's own standard error: no character is beyond it.
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        handler = logging.StreamHandler(err)
        logging.getLogger("ganstoch").addHandler(handler)
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(err),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("default")  # shown, and so one line too many
                for kind in QUIET:
                    warnings.simplefilter("ignore", kind)
                status: object = main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
        finally:
            logging.getLogger("ganstoch").removeHandler(handler)
        err.flush()
        return status, err.buffer.getvalue().decode()

    def refuses(self, *words: object) -> str:
        """Makes sure that a command ends as a bad input must; returns its one line."""
        before, most = self.listing(), memory()
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 3 * PATIENCE)
        try:
            status, err = self.ask(*words)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        seconds = time.monotonic() - started
        assert status == 2, (status, err)
        assert err.startswith("ganstoch: "), err
        assert err.endswith("\n"), err
        line = err.removeprefix("ganstoch: ").removesuffix("\n")
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
        assert line.strip(), err
        assert seconds < PATIENCE, f"{seconds:.1f} s"
        assert memory() - most < MEMORY
        assert self.listing() == before
        self.count()
        return line


def memory() -> int:
    """Most bytes that this process has ever taken."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture(scope="module")
def ground(make_lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A ground on which a first run has been made, so that every library has started up."""
    folder = tmp_path_factory.mktemp("ground")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        for name in ("XDG_CACHE_HOME", "WANDB_MODE", "WANDB_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("TMPDIR", str(folder / "tmp"))
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        patch.chdir(folder)
        os.mkfifo("fifo")
        before = signal.signal(signal.SIGALRM, _late)
        ground = Ground(folder, make_lab(folder).fit)
        status, err = ground.ask(*ground.fit)
        assert status == 0, err
        yield ground
        signal.signal(signal.SIGALRM, before)
    shutil.rmtree(folder, ignore_errors=True)


def _late(number: int, frame: object) -> None:
    raise Late


@pytest.fixture
def counted(ground: Ground, tally: Callable[..., None]) -> Ground:
    """The ground; whatever it refuses is counted."""
    ground.count = lambda: tally("bad input ends in one line", 1)
    return ground
