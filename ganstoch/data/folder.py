"""Your own images: any folder of files that Pillow can open."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganstoch.data.decoding import ScaleFilter, complaints, decode_all, extensions
from ganstoch.data.files import list_files
from ganstoch.data.source import ImageSet, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

__all__ = ["Folder", "FolderImages"]

_FIX = "replace it, remove it, or set --data.source.skip_unreadable=true"


class FolderImages(ImageSet):
    """Image files, decoded when they are read."""

    def __init__(self, root: Path, names: Sequence[str], *, filter: ScaleFilter) -> None:
        """Takes a listing; opens none of the files.

        Args:
            root: the folder.
            names: the files' paths relative to it.
            filter: for images that are not 32x32.
        """
        self._root = root
        self._names = tuple(names)
        self._filter = filter

    def __len__(self) -> int:
        return len(self._names)

    def read(self, ids: Tensor) -> Tensor:
        """Decodes the images at the given positions, in threads; see `ImageSet.read`."""
        paths = [self._root / name for name in self.names(ids)]
        return decode_all(paths, filter=self._filter, fix=_FIX, label="reading images")

    def names(self, ids: Tensor) -> tuple[str, ...]:
        """The files' paths relative to the root."""
        return tuple(self._names[i] for i in ids.tolist())


class Folder(Source):
    """Image files in a folder and the folders below it, sorted by path.

    Any size: the central square is scaled to 32x32. Any mode: see `decoding.open_rgb`. Files with
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
        """Lists the images of a split.

        Args:
            root: the folder.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if the folder is missing, or holds no image.
        """
        require_folder(root, holds="a folder of images")
        train, held_out = _splits(root)
        folder = train if split == "train" else held_out
        if folder is None:
            return None
        listed = list_files(folder, endings=extensions())
        names = _readable(folder, listed) if self.skip_unreadable else listed
        if not names:
            raise UserError(f"no images under {folder}; --data.root must point to some")
        prefix = "" if folder == root else f"{folder.name}/"
        images = FolderImages(root, [prefix + name for name in names], filter=self.filter)
        # Both splits number their classes by the training split's, with its unreadable files.
        reference = listed if split == "train" else list_files(train, endings=extensions())
        images.classes, images.labels = _classify(names, classes=_classes(reference))
        return images


def _readable(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The names of those files that can be decoded; the others are named on standard error."""
    errors = complaints([folder / name for name in names], fix="skipped", label="checking images")
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
