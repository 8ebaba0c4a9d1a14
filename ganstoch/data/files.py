"""Names of image files in a folder or an archive, and what is passed over there, by kind."""

import os
import re
from collections import Counter, deque
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from ganstoch.data.decoding import extensions
from ganstoch.errors import UserError

# What browsers and other programs call a file until it is whole.
_UNFINISHED = {".part", ".partial", ".crdownload", ".tmp"}
# What file managers and archivers leave, in lower case.
_SYSTEM = {"__macosx", ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"}
SPLITS = ("train", "test", "held_out")  # folders that are one
_LISTED = 12  # kinds that a note names


class PassedOver:
    """Counts of what is no image, by kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._system: set[str] = set()

    def add(self, name: str, kind: str | None = None) -> None:
        """Counts a file; its kind is told by its name unless given."""
        parts = name.split("/")
        system = [part for part in parts if part.lower() in _SYSTEM]
        if kind is None and system:
            kind = "system files"
            self._system.add(system[0])
        if kind is None and any(part.startswith(".") for part in parts):
            kind = "hidden"
        self._counts[kind or PurePosixPath(name).suffix.lower() or "no ending"] += 1

    def used(self, name: str) -> None:
        """Takes back a file that was counted by its ending."""
        self._counts -= Counter([PurePosixPath(name).suffix.lower()])

    def notes(self, where: str) -> tuple[str, ...]:
        """One sentence with the kinds, the most frequent first; none if nothing was."""
        total = self._counts.total()
        if not total:
            return ()
        first = self._counts.most_common(_LISTED)
        counts = [
            f"{kind} ({', '.join(sorted(self._system))}) {count:,}"
            if kind == "system files"
            else f"{kind} {count:,}"
            for kind, count in first
        ]
        if len(self._counts) > len(first):
            counts.append(f"others {total - sum(count for _, count in first):,}")
        files = "1 file" if total == 1 else f"{total:,} files"
        return (f"Passed over {files} of {where}: {', '.join(counts)}.",)


def is_image(name: str, passed: PassedOver) -> bool:
    """Whether a member of an archive counts as an image by its name, or is passed over."""
    parts = name.split("/")
    ignored = any(part.startswith(".") or part.lower() in _SYSTEM for part in parts)
    if ignored or PurePosixPath(name).suffix.lower() not in extensions():
        passed.add(name)
        return False
    return True


def safe_name(name: str) -> str | None:
    """A member's name without ``./``; None for one that would leave the folder it is put into."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or name.startswith("/") or re.match(r"[A-Za-z]:", name) or not parts:
        return None
    return "/".join(parts)


def top_folder(names: Collection[str]) -> str:
    """The one folder that an archive was made of, with its slash, unless that is a split."""
    tops = {name.split("/", 1)[0] if "/" in name else "" for name in names}
    top = next(iter(tops)) if len(tops) == 1 else ""
    return f"{top}/" if top and top not in SPLITS else ""


def list_images(folder: Path) -> tuple[tuple[str, ...], PassedOver]:
    """The image files below a folder, and what was passed over."""
    names, passed = list_files(folder, endings=extensions() | _UNFINISHED)
    unfinished = [name for name in names if Path(name).suffix.lower() in _UNFINISHED]
    if unfinished:
        more = "" if len(unfinished) == 1 else f" and {len(unfinished) - 1} more"
        raise UserError(
            f"{folder} holds unfinished files: {unfinished[0]}{more}; wait until they are "
            "whole, or remove them"
        )
    return names, passed


def list_files(root: Path, *, endings: Collection[str]) -> tuple[tuple[str, ...], PassedOver]:
    """Files with these endings, hidden ones apart, sorted by code point; what was passed over.

    Links are followed, but a folder is read only once, under its own name if that lies below.
    """
    names: list[str] = []
    passed = PassedOver()
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
                    if entry.name.startswith(".") or entry.name.lower() in _SYSTEM:
                        passed.add(entry.name)
                    elif test.is_dir():
                        # A folder that has a name of its own before every link to it.
                        (waiting.append if entry.is_symlink() else waiting.appendleft)(path)
                    elif path.suffix.lower() in endings and test.is_file():
                        names.append(path.relative_to(root).as_posix())
                    else:
                        passed.add(entry.name)
        except PermissionError as error:
            raise UserError(f"may not read {error.filename}; change its permissions") from error
    return tuple(sorted(names)), passed
