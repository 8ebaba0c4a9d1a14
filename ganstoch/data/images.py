"""Images of the user's own: a folder of files, a file of arrays, or an array in memory.

Training (`Folder`) and the audit (`open_images`) read them through the same `FolderImages`. To add
a format, write a reader that returns an `ImageSet` and let `open_images` choose it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data.arrays import ARRAY_ENDINGS, MEMORY, array_images, load_array, to_numpy
from ganstoch.data.decoding import (
    Header,
    ScaleFilter,
    decode,
    decode_all,
    extensions,
    in_threads,
    read_header,
)
from ganstoch.data.source import SIDE, ImageSet, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Shape, Split

__all__ = ["FileList", "Folder", "FolderImages", "list_files", "open_images"]

_UNFINISHED = {".part", ".partial", ".crdownload", ".tmp"}
"""What browsers and other programs call a file until it is whole."""
_CACHED_BYTES = 2**28
"""Of decoded pixels that are kept, so that a small folder is decoded once: 256 MiB."""


class FolderImages(ImageSet):
    """Image files, decoded in threads when they are read, and once where they fit 256 MiB.

    Args:
        root: the folder.
        names: the files' paths relative to it.
        shape: of each image, (channels, height, width).
        filter: for the central square, scaled where that is not the size; None for images that must
            have the size.
        fix: what a user can do about a file that cannot be read.
        label: what a progress display calls the decoding; None for no display.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        *,
        shape: Shape,
        filter: ScaleFilter | None,
        fix: str,
        label: str | None = None,
    ) -> None:
        self.where, self.path, self.shape, self._label = str(root), root, shape, label
        self._names = tuple(names)
        self._filter, self._fix = filter, fix
        fits = len(names) * prod(shape) <= _CACHED_BYTES
        self._pixels = torch.empty(len(names), *shape, dtype=torch.uint8) if fits else None
        self._is_decoded = torch.zeros(len(names), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._names)

    def names(self, ids: Tensor) -> tuple[str, ...]:
        """The files' paths relative to the root."""
        return tuple(self._names[i] for i in ids.tolist())

    def read(self, ids: Tensor) -> Tensor:
        """See `ImageSet.read`."""
        if self._pixels is None:
            return self._decoded(ids)
        missing = torch.unique(ids[~self._is_decoded[ids]])
        if len(missing):
            self._pixels[missing] = self._decoded(missing)
            self._is_decoded[missing] = True
        return self._pixels[ids]

    def _decoded(self, ids: Tensor) -> Tensor:
        return decode_all(
            [Path(self.where, name) for name in self.names(ids)],
            shape=self.shape,
            filter=self._filter,
            fix=self._fix,
            label=self._label,
        )


class Folder(Source):
    """Image files in a folder and the folders below it, sorted by path.

    Any size: the central square is scaled to 32x32. Any mode: see `decoding.decode`. Files with
    endings of no image format are passed over, and so are hidden files.

    If the root holds a folder ``train``, that is the training split and ``test`` or ``held_out``
    beside it, if there, the held-out one. The first-level folders of a split are its classes, if
    there are at least two and no image lies outside them.
    """

    name = "folder"
    summary = "your own images: any folder, any size, any format that Pillow opens"

    def __init__(self, filter: ScaleFilter = "lanczos", skip_unreadable: bool = False) -> None:
        """Reads nothing yet.

        Args:
            filter: resampling filter for images that are not 32x32.
            skip_unreadable: whether to leave out files that cannot be read, naming each on
                standard error. This decodes every file of the folder at every start; without it
                only the chosen images are decoded, and one that cannot be read is an error.
        """
        self.filter: ScaleFilter = filter
        self.skip_unreadable = skip_unreadable

    @property
    def label(self) -> str:
        """``folder``, with the filter if that is not the usual one."""
        return self.name if self.filter == "lanczos" else f"{self.name}-{self.filter}"

    def open(self, root: Path, split: Split) -> FolderImages | None:
        """Lists the images of a split; see `Source.open`."""
        require_folder(root, holds="a folder of images")
        train, held_out = _splits(root)
        folder = train if split == "train" else held_out
        if folder is None:
            return None
        listing = list_images(folder)
        names = _readable(folder, listing.names) if self.skip_unreadable else listing.names
        if not names:
            raise UserError(f"no images under {folder}; --data.root must point to some")
        prefix = "" if folder == root else f"{folder.name}/"
        images = FolderImages(
            root,
            [prefix + name for name in names],
            shape=(3, SIDE, SIDE),
            filter=self.filter,
            fix="replace it, remove it, or set --data.source.skip_unreadable=true",
            label="reading images",
        )
        images.notes = listing.notes(folder)
        # Both splits number their classes by the training split's, with its unreadable files.
        reference = listing if split == "train" else list_images(train)
        images.classes, images.labels = _classify(names, classes=_classes(reference.names))
        return images


def open_images(
    source: Path | str | NDArray[Any] | Tensor,
    *,
    option: str,
    resize: int | None = None,
    memory: int = MEMORY,
) -> ImageSet:
    """Opens a set of images; no pixel of a folder, and of an array of bytes, is read yet.

    Of a folder, the set is grey if every file is, else RGB; its first-level folders are the images'
    classes, if there are at least two and no image lies outside them.

    Args:
        source: a folder of image files, with those below it; a file .npz, .npy, .pt or .pth that
            holds an array of images; or such an array or tensor (see `array_images`).
        option: the command line's option for the set, for messages, e.g. ``--real``.
        resize: side of the square that each image's centre is scaled to, in pixels; None where the
            images have one size already.
        memory: bytes that a compressed array may unpack to.

    Returns:
        The images, at least one.

    Raises:
        UserError: if there is none, or they cannot be read as images of one shape.
    """
    if resize is not None and resize < 1:
        raise UserError(f"--resize must be at least 1 pixel, got {resize}")
    if isinstance(source, np.ndarray | Tensor):
        array = to_numpy(source) if isinstance(source, Tensor) else source
        return array_images(array, where=f"{option.removeprefix('--')} array", resize=resize)
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, option=option, resize=resize)
    _check_file(path, option=option)
    array, notes = load_array(path, memory=memory)
    images = array_images(array, where=str(path), resize=resize)
    images.path, images.notes = path, (*notes, *images.notes)
    return images


def _open_folder(root: Path, *, option: str, resize: int | None) -> FolderImages:
    """The images of a folder, of the size that all have or that is asked for."""
    listing = list_images(root)
    names = listing.names
    if not names:
        arrays = list_files(root, endings=ARRAY_ENDINGS).names
        fix = f"{option} must point to a folder of images, or to a .npz, .npy or .pt file"
        if arrays:
            fix = f"give the file itself: {option} {root / arrays[0]}"
        raise UserError(f"no images under {root}; {fix}")
    fix = "replace it or remove it"
    paths = [root / name for name in names]
    headers = in_threads(lambda path: read_header(path, fix=fix), paths, label=f"looking at {root}")
    width, height = headers[0].size if resize is None else (resize, resize)
    if resize is None:
        _check_sizes(root, names, headers)
    channels = 1 if all(header.grey for header in headers) else 3
    filter: ScaleFilter | None = None if resize is None else "lanczos"
    images = FolderImages(root, names, shape=(channels, height, width), filter=filter, fix=fix)
    images.classes, images.labels = _classify(names, classes=_classes(names))
    images.notes = listing.notes(root)
    return images


def _check_sizes(root: Path, names: Sequence[str], headers: Sequence[Header]) -> None:
    """A UserError if the images differ in size."""
    first = headers[0].size
    for name, header in zip(names, headers, strict=True):
        if header.size != first:
            side = min(min(header.size) for header in headers)
            raise UserError(
                f"the images of {root} differ in size: {names[0]} has {first[0]}x{first[1]} "
                f"pixels, {name} {header.size[0]}x{header.size[1]}; add --resize {side}"
            )


def _check_file(path: Path, *, option: str) -> None:
    """A UserError for what is no file of arrays."""
    if not path.exists():
        raise UserError(f"{path} does not exist; {option} must point to images")
    if not path.is_file():
        raise UserError(f"{path} is neither a file nor a folder; {option} must be one")
    ending = path.suffix.lower()
    if ending in ARRAY_ENDINGS:
        return
    if ending in extensions():
        raise UserError(f"{path} is one image; {option} must point to a folder of them")
    raise UserError(
        f"{path} has an unknown ending; {option} takes a folder of images, "
        f"or a file {', '.join(ARRAY_ENDINGS[:-1])} or {ARRAY_ENDINGS[-1]}"
    )


@dataclass(frozen=True, slots=True)
class FileList:
    """Files below a folder.

    Attributes:
        names: paths of the files taken, relative to the folder, with "/", sorted by code point.
        skipped: how many files, and hidden folders, were passed over.
    """

    names: tuple[str, ...]
    skipped: int

    def notes(self, folder: Path) -> tuple[str, ...]:
        """A sentence about what was passed over, if anything was."""
        if not self.skipped:
            return ()
        return (f"Passed over in {folder}: {self.skipped:,} hidden or of no image format.",)


def list_images(folder: Path) -> FileList:
    """The image files below a folder; a UserError if some are unfinished downloads."""
    listing = list_files(folder, endings=extensions() | _UNFINISHED)
    unfinished = [name for name in listing.names if Path(name).suffix.lower() in _UNFINISHED]
    if unfinished:
        more = "" if len(unfinished) == 1 else f" and {len(unfinished) - 1} more"
        raise UserError(
            f"{folder} holds unfinished files: {unfinished[0]}{more}; "
            "wait until they are whole, or remove them"
        )
    return listing


def list_files(root: Path, *, endings: Collection[str]) -> FileList:
    """Files below a folder, in an order that depends on their names alone.

    Hidden files and folders are passed over. Links are followed, but a folder is read only once,
    however many links lead to it, and under its own name if that lies below the root: so a link to
    a folder above ends nowhere.

    Args:
        root: the folder.
        endings: file name endings to take, lower case, with their dot.

    Raises:
        UserError: if a folder may not be read.
    """
    names: list[str] = []
    skipped = 0
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
    return FileList(tuple(sorted(names)), skipped)


def _leads(test: Callable[[], bool]) -> bool:
    """A directory entry's test; False for a link that leads to itself."""
    try:
        return test()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def _readable(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The names of those files that can be decoded; the others are named on standard error."""

    def error_of(name: str) -> UserError | None:
        try:
            decode(folder / name, fix="skipped")
        except UserError as error:
            return error
        return None

    errors = in_threads(error_of, names, label="checking images")
    for error in errors:
        if error is not None:
            print(error, file=sys.stderr)
    return tuple(name for name, error in zip(names, errors, strict=True) if error is None)


def _splits(root: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the held-out images, the latter None if there is none."""
    if not (root / "train").is_dir():
        return root, None
    held_out = (root / name for name in ("test", "held_out"))
    return root / "train", next((folder for folder in held_out if folder.is_dir()), None)


def _classes(names: Sequence[str]) -> tuple[str, ...]:
    """The first-level folders, sorted; none if there are fewer than two or a file lies outside."""
    parts = [name.split("/", 1) for name in names]
    classes = sorted({part[0] for part in parts})
    return tuple(classes) if len(classes) > 1 and all(len(part) > 1 for part in parts) else ()


def _classify(
    names: Sequence[str], *, classes: tuple[str, ...]
) -> tuple[tuple[str, ...], Tensor | None]:
    """The classes and the images' labels; none of either if an image is in no known class."""
    number = {label: i for i, label in enumerate(classes)}
    labels = [number.get(name.split("/", 1)[0]) for name in names]
    if None in labels:
        return (), None
    return classes, torch.tensor(labels, dtype=torch.int64)
