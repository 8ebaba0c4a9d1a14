"""Any set of images a user may have, opened: a folder of files, an array in a file or in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.auditing.array_files import load_array, to_numpy
from ganstoch.auditing.arrays import ArrayImages
from ganstoch.auditing.folders import ARRAY_ENDINGS, FolderImages
from ganstoch.auditing.images import Images, Role, option
from ganstoch.data.decoding import extensions
from ganstoch.errors import UserError

__all__ = ["MEMORY", "Images", "Role", "open_images"]

MEMORY = 2 * 2**30
"""Bytes an audit keeps to unless told otherwise."""


def open_images(
    source: Path | str | NDArray[Any] | Tensor,
    *,
    role: Role,
    resize: int | None = None,
    memory: int = MEMORY,
) -> Images:
    """Opens a set of images; no pixel of a folder, and of an array of bytes, is read yet.

    Args:
        source: a folder of image files (see `FolderImages`); a file .npz, .npy, .pt or .pth that
            holds an array of images; or such an array or tensor (see `ArrayImages`).
        role: what the images are to the audit.
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
        where = f"{role.replace('_', '-')} array"
        return ArrayImages(array, where=where, role=role, resize=resize)
    path = Path(source)
    if path.is_dir():
        return FolderImages(path, role=role, resize=resize)
    _check_file(path, role=role)
    array, notes = load_array(path, memory=memory)
    return ArrayImages(array, where=str(path), path=path, role=role, resize=resize, notes=notes)


def _check_file(path: Path, *, role: Role) -> None:
    """A UserError for what is no file of arrays."""
    if not path.exists():
        raise UserError(f"{path} does not exist; {option(role)} must point to images")
    if not path.is_file():
        raise UserError(f"{path} is neither a file nor a folder; {option(role)} must be one")
    ending = path.suffix.lower()
    if ending in ARRAY_ENDINGS:
        return
    if ending in extensions():
        raise UserError(f"{path} is one image; {option(role)} must point to a folder of them")
    raise UserError(
        f"{path} has an unknown ending; {option(role)} takes a folder of images, "
        f"or a file {', '.join(ARRAY_ENDINGS[:-1])} or {ARRAY_ENDINGS[-1]}"
    )
