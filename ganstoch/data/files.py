"""Files below a folder, in an order that depends on their names alone; and their classes."""

import os
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganstoch.data.decoding import extensions
from ganstoch.errors import UserError

# What browsers and other programs call a file until it is whole.
_UNFINISHED = {".part", ".partial", ".crdownload", ".tmp"}


def list_images(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The image files below a folder, and notes on what was passed over, each a sentence."""
    names, skipped = list_files(folder, endings=extensions() | _UNFINISHED)
    unfinished = [name for name in names if Path(name).suffix.lower() in _UNFINISHED]
    if unfinished:
        more = "" if len(unfinished) == 1 else f" and {len(unfinished) - 1} more"
        raise UserError(
            f"{folder} holds unfinished files: {unfinished[0]}{more}; wait until they are "
            "whole, or remove them"
        )
    note = f"Passed over in {folder}: {skipped:,} hidden or of no image format."
    return names, (note,) if skipped else ()


def list_files(root: Path, *, endings: Collection[str]) -> tuple[tuple[str, ...], int]:
    """Files with these endings, hidden ones apart, sorted by code point; how many were passed over.

    Links are followed, but a folder is read only once, under its own name if that lies below.
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
                    # A path's test is False, too, for a link that leads to itself.
                    test = path if entry.is_symlink() else entry
                    if entry.name.startswith("."):
                        skipped += 1
                    elif test.is_dir():
                        # A folder that has a name of its own before every link to it.
                        (waiting.append if entry.is_symlink() else waiting.appendleft)(path)
                    elif path.suffix.lower() in endings and test.is_file():
                        names.append(path.relative_to(root).as_posix())
                    else:
                        skipped += 1
        except PermissionError as error:
            raise UserError(f"may not read {error.filename}; change its permissions") from error
    return tuple(sorted(names)), skipped


def classify(names: Sequence[str], *, like: Sequence[str]) -> tuple[tuple[str, ...], Tensor | None]:
    """Classes, the first-level folders of files ``like``, and labels, if all images have one."""
    parts = [name.split("/", 1) for name in like]
    classes = tuple(sorted({part[0] for part in parts}))
    number = {label: i for i, label in enumerate(classes)}
    labels = [number.get(name.split("/", 1)[0]) for name in names]
    if len(classes) < 2 or any(len(part) == 1 for part in parts) or None in labels:
        return (), None
    return classes, torch.tensor(labels, dtype=torch.int64)
