"""One process at a time makes a run: a lock on the run's folder, which dies with its holder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ganstoch.errors import UserError

__all__ = ["Busy", "claim", "is_claimed"]

LOCK = "running.lock"


class Busy(UserError):
    """Another process is at work on the run."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Holds a run's folder, which is made if need be, until the block ends or the process dies.

    The lock is the operating system's (`fcntl`), so that nothing is left to clear away after a
    kill or a power cut; on a shared disk it holds as far as the file system passes locks on, as
    NFS 4 does.

    Raises:
        Busy: if another process holds it.
    """
    lock = _lock(folder)
    try:
        lock.acquire(timeout=1)  # whoever just asks holds it for a moment
    except Timeout as error:
        raise Busy(
            f"another process is at work on {folder}; wait for it, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Whether a process is at work on a run at this moment."""
    if not (folder / LOCK).exists():
        return False
    try:
        with claim(folder):
            return False
    except Busy:
        return True


def _lock(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / LOCK)
