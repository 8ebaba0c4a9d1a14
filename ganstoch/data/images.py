"""Images of the user's own: a folder, a file or an array; `open_images` chooses the reader."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data.arrays import ARRAY_ENDINGS, MEMORY, NumericImages, load_array, to_numpy
from ganstoch.data.decoding import ScaleFilter, decode_all, in_threads, read_header
from ganstoch.data.files import classify, list_images
from ganstoch.data.source import ImageSet
from ganstoch.errors import UserError
from ganstoch.types import Shape

_CACHED_BYTES = 2**28  # most decoded pixels that stay in memory, so that they are decoded once


class FolderImages(ImageSet):
    """Image files by their paths below the root; see `decode_all`. Up to 256 MiB stay decoded."""

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
        self._names: tuple[str, ...] = tuple(names)
        self._filter, self._fix = filter, fix
        fits = len(names) * prod(shape) <= _CACHED_BYTES
        self._pixels = torch.empty(len(names), *shape, dtype=torch.uint8) if fits else None
        self._is_decoded = torch.zeros(len(names), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._names)

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
        paths = [Path(self.where, name) for name in self.names(ids)]
        return decode_all(
            paths, shape=self.shape, filter=self._filter, fix=self._fix, label=self._label
        )


def open_images(
    source: Path | str | NDArray[Any] | Tensor,
    *,
    option: str,
    resize: int | None = None,
    memory: int = MEMORY,
) -> ImageSet:
    """Opens a set of images: of a folder, grey if every file is, else RGB; see `classify`.

    ``option`` is the command line's, for messages; ``resize`` the side in pixels of the square that
    each image's centre is scaled to; ``memory`` the bytes that a compressed array may unpack to.
    """
    if resize is not None and resize < 1:
        raise UserError(f"--resize must be at least 1 pixel, got {resize}")
    if isinstance(source, np.ndarray | Tensor):
        array = to_numpy(source) if isinstance(source, Tensor) else source
        return NumericImages(array, where=f"{option.removeprefix('--')} array", resize=resize)
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, option=option, resize=resize)
    if not path.is_file() or path.suffix.lower() not in ARRAY_ENDINGS:
        state = "is no file of arrays" if path.exists() else "does not exist"
        endings = ", ".join(ARRAY_ENDINGS)
        raise UserError(f"{path} {state}; {option} takes a folder of images, or a file {endings}")
    array, notes = load_array(path, memory=memory)
    images = NumericImages(array, where=str(path), resize=resize)
    images.path, images.notes = path, (*notes, *images.notes)
    return images


def _open_folder(root: Path, *, option: str, resize: int | None) -> FolderImages:
    """The images of a folder, of the size that all have or that is asked for."""
    names, notes = list_images(root)
    if not names:
        fix = "must point to a folder of images, or to a .npz, .npy or .pt file itself"
        raise UserError(f"no images under {root}; {option} {fix}")
    fix = "replace it or remove it"
    paths = [root / name for name in names]
    headers = in_threads(lambda path: read_header(path, fix=fix), paths, label=f"looking at {root}")
    width, height = headers[0][0] if resize is None else (resize, resize)
    for name, (size, _) in zip(names, headers, strict=True):
        if resize is None and size != (width, height):
            side = min(min(size) for size, _ in headers)
            raise UserError(
                f"the images of {root} differ in size: {names[0]} has {width}x{height} "
                f"pixels, {name} {size[0]}x{size[1]}; add --resize {side}"
            )
    channels = 1 if all(is_grey for _, is_grey in headers) else 3
    filter: ScaleFilter | None = None if resize is None else "lanczos"
    images = FolderImages(root, names, shape=(channels, height, width), filter=filter, fix=fix)
    images.classes, images.labels = classify(names, like=names)
    images.notes = notes
    return images
