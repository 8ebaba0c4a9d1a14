"""One process at a time makes a run: a lock on the run's folder, which dies with its holder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from ganstoch.errors import UserError
from ganstoch.locks import lock_now, lock_within, open_lock

__all__ = ["BUSY", "HANDED", "Busy", "claim", "is_claimed", "take"]

BUSY = os.EX_TEMPFAIL
"""Exit status, 75, of a `ganstoch fit` that finds another process at work on its run."""

LOCK = "running.lock"
HANDED = "GANSTOCH_CLAIM"
"""Environment variable that tells a child which open file its parent's claim is in."""

_PATIENCE = 1.0
"""Seconds to try for: whoever just asks whether a run is claimed holds it for a moment."""


class Busy(UserError):
    """Another process is at work on the run."""

    status: ClassVar[int] = BUSY


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Holds a run's folder, which is made if need be, until the block ends or the process dies.

    Where a parent has taken the claim and handed it on, it is held already, and longer.

    Raises:
        Busy: if another process holds it.
    """
    if _is_handed(folder):
        yield
        return
    descriptor = take(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def take(folder: Path) -> int:
    """Claims a run's folder until the descriptor returned, and every copy of it, is closed.

    A child that gets the descriptor, and its number in the variable `HANDED`, holds the claim from
    its first moment, also if its parent dies.

    Raises:
        Busy: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = open_lock(folder / LOCK)
    if not lock_within(descriptor, _PATIENCE):
        os.close(descriptor)
        raise Busy(f"another process is at work on {folder}; wait for it, or choose another --out")
    return descriptor


def is_claimed(folder: Path) -> bool:
    """Whether a process is at work on a run at this moment."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock_now(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _is_handed(folder: Path) -> bool:
    """Whether the parent's claim on this very folder is among this process's open files."""
    try:
        handed = os.fstat(int(os.environ[HANDED]))
        os.set_inheritable(int(os.environ[HANDED]), False)  # our children are not at work on it
        return os.path.samestat(handed, os.stat(folder / LOCK))
    except (KeyError, ValueError, OSError):
        return False
