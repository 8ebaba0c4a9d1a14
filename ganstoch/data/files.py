"""Files below a folder, in an order that depends on their names alone; and their classes."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganstoch.data.decoding import extensions
from ganstoch.errors import UserError

_UNFINISHED = {".part", ".partial", ".crdownload", ".tmp"}  # until a program's file is whole


def list_images(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The image files below a folder, and notes on what was passed over, each a sentence.

    Raises:
        UserError: if some are unfinished downloads.
    """
    names, skipped = list_files(folder, endings=extensions() | _UNFINISHED)
    unfinished = [name for name in names if Path(name).suffix.lower() in _UNFINISHED]
    if unfinished:
        raise UserError(
            f"{folder} holds unfinished files, as {unfinished[0]}; wait until they are whole, or "
            "remove them"
        )
    note = f"Passed over in {folder}: {skipped:,} hidden or of no image format."
    return names, (note,) if skipped else ()


def list_files(root: Path, *, endings: Collection[str]) -> tuple[tuple[str, ...], int]:
    """Files below a folder with one of these endings, in an order that depends on names alone.

    Hidden files and folders are passed over. Links are followed, but a folder is read only once,
    and under its own name if that lies below the root: so a link to a folder above ends nowhere.

    Returns:
        Paths below the root with "/", sorted by code point; and how many were passed over.
    """
    names: list[str] = []
    skipped = 0
    visited: set[tuple[int, int]] = set()
    waiting = deque([root])
    while waiting:
        folder = waiting.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = folder / entry.name
                    if entry.name.startswith("."):
                        skipped += 1
                    elif _leads(entry.is_dir):
                        # A folder that has a name of its own before every link to it.
                        (waiting.append if entry.is_symlink() else waiting.appendleft)(path)
                    elif path.suffix.lower() in endings and _leads(entry.is_file):
                        names.append(path.relative_to(root).as_posix())
                    else:
                        skipped += 1
        except PermissionError as error:
            raise UserError(f"may not read {error.filename}; change its permissions") from error
    return tuple(sorted(names)), skipped


def _leads(test: Callable[[], bool]) -> bool:
    """A directory entry's test; False for a link that leads to itself."""
    try:
        return test()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def classes_of(names: Sequence[str]) -> tuple[str, ...]:
    """The first-level folders, sorted; none if fewer than two, or a file lies outside."""
    parts = [name.split("/", 1) for name in names]
    classes = sorted({part[0] for part in parts})
    return tuple(classes) if len(classes) > 1 and all(len(part) > 1 for part in parts) else ()


def classify(
    names: Sequence[str], *, classes: tuple[str, ...]
) -> tuple[tuple[str, ...], Tensor | None]:
    """The classes and the images' labels; none of either if an image is in no known class."""
    number = {label: i for i, label in enumerate(classes)}
    labels = [number.get(name.split("/", 1)[0]) for name in names]
    if None in labels:
        return (), None
    return classes, torch.tensor(labels, dtype=torch.int64)
