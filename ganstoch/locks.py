"""Locks of the operating system on open files: they die with their holder, however it ends.

On a shared disk they hold as far as the file system passes locks on, as NFS 4 does.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from pathlib import Path

__all__ = ["lock_now", "lock_within", "open_lock"]

_log = logging.getLogger("ganstoch")

_NONE_HERE = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""Errors of a file system that has no locks, such as Lustre without its mount option ``flock``."""


def open_lock(path: Path) -> int:
    """Opens a file to be locked, which is made if need be; its descriptor.

    Raises:
        OSError: if that may not be.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def lock_now(descriptor: int, *, shared: bool = False) -> bool:
    """Locks an open file if nobody else holds it.

    Args:
        descriptor: of the file. The lock is gone when it and all its copies are closed.
        shared: whether others may hold it too, as long as all of them share it.

    Returns:
        Whether it is locked now; True, with a warning, where there are no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        if error.errno not in _NONE_HERE:
            raise
        _log.warning("this disk has no locks: start no two processes at once on the same files")
    return True


def lock_within(descriptor: int, seconds: float) -> bool:
    """Locks an open file, trying for a while; whether it is locked now."""
    until = time.monotonic() + seconds
    while not lock_now(descriptor):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
