"""A folder of image files as a set to be audited."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageMode
from torch import Tensor

from ganstoch.auditing.images import Images, Role, central_square, option
from ganstoch.data.decoding import extensions, formats, open_rgb
from ganstoch.data.files import list_files
from ganstoch.data.parallel import in_threads
from ganstoch.errors import UserError

__all__ = ["ARRAY_ENDINGS", "FolderImages"]

ARRAY_ENDINGS = (".npz", ".npy", ".pt", ".pth")
"""Of files that hold many images each."""

_FIX = "replace it or remove it"
_UNFINISHED = {".part", ".partial", ".crdownload", ".tmp"}
"""What browsers and other programs call a file until it is whole."""
_KEPT_BYTES = 2**28
"""Of decoded pixels that are kept, so that a small folder is decoded once: 256 MiB."""
_ORIENTATION = 0x0112
_TURNED = {5, 6, 7, 8}
"""Marks of cameras that were held on their side."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of itself before its pixels."""

    size: tuple[int, int]
    grey: bool


class FolderImages(Images):
    """Image files in a folder and the folders below it, sorted by path, decoded in threads.

    Any format and mode: see `decoding.open_rgb`. The set is grey if every file is, else RGB. Files
    with endings of no image format are passed over, and so are hidden files. The first-level
    folders are the images' classes, if there are at least two and no image lies outside them.

    Args:
        root: the folder.
        role: what the images are to the audit.
        resize: side of the square that each image's centre is scaled to; None where all images
            have one size already.

    Raises:
        UserError: if there is no image, one is unreadable or unfinished, or their sizes differ.
    """

    def __init__(self, root: Path, *, role: Role, resize: int | None = None) -> None:
        self.where, self.path, self.role = str(root), root, role
        self._resize = resize
        self._names = _listed(root, role=role)
        paths = [root / name for name in self._names]
        with warnings.catch_warnings(action="ignore"):  # an error says enough
            headers = in_threads(_header, paths, label=f"looking at {root}")
        if resize is None:
            self._check_sizes(headers)
        width, height = (resize, resize) if resize is not None else headers[0].size
        self.shape = (1 if all(header.grey for header in headers) else 3, height, width)
        self.labels = _classes(self._names)
        total = len(paths) * int(np.prod(self.shape))
        self._kept = (
            torch.empty(len(paths), *self.shape, dtype=torch.uint8)
            if total <= _KEPT_BYTES
            else None
        )
        self._has = torch.zeros(len(paths), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._names)

    def names(self, ids: Tensor) -> tuple[str, ...]:
        """The files' paths relative to the folder."""
        return tuple(self._names[i] for i in ids.tolist())

    def read(self, ids: Tensor) -> Tensor:
        """Decodes images, in threads; see `Images.read`."""
        if self._kept is None:
            return self._decoded(ids)
        missing = torch.unique(ids[~self._has[ids]])
        if len(missing):
            self._kept[missing] = self._decoded(missing)
            self._has[missing] = True
        return self._kept[ids]

    def _decoded(self, ids: Tensor) -> Tensor:
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        try:
            with warnings.catch_warnings(action="ignore"):
                pixels = list(pool.map(self._decode, self.names(ids)))
        finally:
            pool.shutdown(cancel_futures=True)
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()

    def _decode(self, name: str) -> NDArray[np.uint8]:
        path = Path(self.where, name)
        image = open_rgb(path, fix=_FIX)
        channels, height, width = self.shape
        if self._resize is not None:
            image = central_square(image, self._resize)
        elif image.size != (width, height):  # has changed since, or turns by a mark at its end
            raise UserError(
                f"{path} has {_size(image.size)} pixels, not {_size((width, height))} as others; "
                f"add --resize {min(height, width)}"
            )
        return np.asarray(image)[..., :channels]

    def _check_sizes(self, headers: Sequence[_Header]) -> None:
        first = headers[0].size
        for name, header in zip(self._names, headers, strict=True):
            if header.size != first:
                side = min(min(header.size) for header in headers)
                raise UserError(
                    f"the images of {self.where} differ in size: {self._names[0]} has "
                    f"{_size(first)} pixels, {name} {_size(header.size)}; add --resize {side}"
                )


def _listed(root: Path, *, role: Role) -> tuple[str, ...]:
    """The image files below a folder, at least one."""
    found = list_files(root, endings=extensions() | _UNFINISHED)
    unfinished = [name for name in found if Path(name).suffix.lower() in _UNFINISHED]
    if unfinished:
        more = "" if len(unfinished) == 1 else f" and {len(unfinished) - 1} more"
        raise UserError(
            f"{root} holds unfinished files: {unfinished[0]}{more}; "
            "wait until they are whole, or remove them"
        )
    if not found:
        arrays = list_files(root, endings=ARRAY_ENDINGS)
        fix = (
            f"give the file itself: {option(role)} {root / arrays[0]}"
            if arrays
            else f"{option(role)} must point to a folder of images, or to a .npz, .npy or .pt file"
        )
        raise UserError(f"no images under {root}; {fix}")
    return found


def _header(path: Path) -> _Header:
    """Size and mode, upright, without decoding the pixels."""
    try:
        with Image.open(path, formats=formats()) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ValueError
            # A PNG's mark may stand behind its pixels, and looking for it would decode them.
            marks = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
            turned = marks.get(_ORIENTATION) in _TURNED
            size = (image.height, image.width) if turned else (image.width, image.height)
            return _Header(size=size, grey=ImageMode.getmode(image.mode).basemode == "L")
    except MemoryError:
        raise
    except Exception as error:  # the decoder knows the right words
        open_rgb(path, fix=_FIX)
        raise UserError(f"cannot read {path} ({error}); {_FIX}") from error


def _classes(names: Sequence[str]) -> tuple[str, ...] | None:
    """Each file's first-level folder; None if there are fewer than two or a file lies outside."""
    parts = [name.split("/", 1) for name in names]
    if any(len(part) == 1 for part in parts) or len({part[0] for part in parts}) < 2:
        return None
    return tuple(part[0] for part in parts)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
