"""What is made once and kept: of several processes that want it, one makes it, the others wait."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ganstoch.locks import lock_within, open_lock

__all__ = ["alone", "once"]

_T = TypeVar("_T")

_PATIENCE = 1.0
"""Seconds to wait for another process before saying so."""
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
"""Errors of a place that this user may not write to, or that is no folder."""


def once(
    target: Path,
    *,
    doing: str,
    look: Callable[[], _T | None],
    make: Callable[[], _T],
    otherwise: tuple[Path, ...] = (),
) -> _T:
    """What is there, or else is made, by one process at a time.

    Args:
        target: as for `alone`.
        doing: idem.
        look: returns what is there, or None; asked again once it is this process's turn.
        make: makes it, so that `look` finds it; killed half-way, it must leave nothing that `look`
            would take for whole.
        otherwise: as for `alone`.
    """
    found = look()
    if found is not None:
        return found
    with alone(target, doing=doing, otherwise=otherwise):
        found = look()
        return make() if found is None else found


@contextmanager
def alone(target: Path, *, doing: str, otherwise: tuple[Path, ...] = ()) -> Iterator[None]:
    """One process at a time in the block; says on standard error that it waits, if it does.

    The lock is a hidden file beside the target, gone with its holder. What a holder that was killed
    has left beside the target, hidden and under its name, is removed. Where nothing may be written
    there is no lock, nor is there anything to make.

    Args:
        target: what is made; its folder is made if it is missing.
        doing: what the other process would be at, in words: "convert the images in data".
        otherwise: where the target may lie instead, if its folder may not be written to.
    """
    for place in (target, *otherwise):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock = place.with_name(f".{place.name}.lock")
            descriptor = _wait_for(lock, doing=doing)
            break
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
    else:
        yield
        return
    try:
        _remove_leavings(place)
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _wait_for(lock: Path, *, doing: str) -> int:
    """Locks a file that its holders remove when they have finished; its descriptor."""
    told = False
    while True:
        descriptor = open_lock(lock)
        try:
            while not lock_within(descriptor, _PATIENCE):
                if not told:
                    print(f"waiting for another process to {doing}", file=sys.stderr)
                    told = True
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its name is gone: whoever comes next locks another file


def _remove_leavings(target: Path) -> None:
    """Files and folders that a process was killed over: of the target's name, hidden, and more."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.?*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".lock":
            path.unlink(missing_ok=True)
