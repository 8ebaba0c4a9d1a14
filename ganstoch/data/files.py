"""Which image files lie below a folder, in an order that depends on their names alone."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from ganstoch.errors import UserError

__all__ = ["list_files"]


def list_files(root: Path, *, endings: Collection[str]) -> tuple[str, ...]:
    """Paths of the files below a folder, relative to it, with "/", sorted by code point.

    Hidden files and folders are passed over. Links are followed, but a folder is read only once,
    however many links lead to it, and under its own name if that lies below the root: so a link to
    a folder above ends nowhere.

    Args:
        root: the folder.
        endings: file name endings to take, lower case, with their dot.

    Raises:
        UserError: if a folder may not be read.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = deque([root])
    while waiting:
        folder = waiting.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.startswith("."):
                        continue
                    path = folder / entry.name
                    if not _leads(entry.is_dir):
                        if path.suffix.lower() in endings and _leads(entry.is_file):
                            found.append(path.relative_to(root).as_posix())
                    elif entry.is_symlink():
                        waiting.append(path)  # after every folder that has a name of its own
                    else:
                        waiting.appendleft(path)
        except PermissionError as error:
            raise UserError(f"may not read {error.filename}; change its permissions") from error
    return tuple(sorted(found))


def _leads(test: Callable[[], bool]) -> bool:
    """What a directory entry's test says; False for a link that leads to itself."""
    try:
        return test()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
