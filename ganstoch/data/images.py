"""Images of the user's own, from wherever they are: `open_images` chooses the reader."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data.arrays import NumericImages, load_array, to_numpy
from ganstoch.data.containers import Files, FolderFiles, ZipFiles
from ganstoch.data.image_files import all_alike
from ganstoch.data.items import collect
from ganstoch.data.labels import numbered
from ganstoch.data.reading import Mode, Reading
from ganstoch.data.source import ImageSet
from ganstoch.data.tables import HubFiles, ParquetFiles
from ganstoch.data.tars import TarFiles
from ganstoch.locations import Location, locate

_LUMA = (19595, 38470, 7471)  # ITU-R 601, as Pillow's: equal channels give the same level


class InMode(ImageSet):
    """Images of another set, made grey or RGB; of equal channels the levels stay as they are."""

    def __init__(self, images: ImageSet, mode: Mode) -> None:
        self._images, self._grey = images, mode == "L"
        self.shape = (1 if self._grey else 3, *images.shape[1:])
        self.labels, self.classes, self.split = images.labels, images.classes, images.split
        self.where, self.path, self.notes = images.where, images.path, images.notes
        self.names = images.names  # type: ignore[method-assign]

    def __len__(self) -> int:
        return len(self._images)

    def read(self, ids: Tensor) -> Tensor:
        """See `ImageSet.read`."""
        pixels = self._images.read(ids)
        if not self._grey:
            return pixels.expand(-1, 3, -1, -1).contiguous()
        weights = torch.tensor(_LUMA).view(1, 3, 1, 1)
        return ((pixels.int() * weights).sum(1, keepdim=True) + 2**15 >> 16).to(torch.uint8)


def in_mode(images: ImageSet, mode: Mode | None) -> ImageSet:
    """The images in a mode, "L" or "RGB"; themselves where they are in it, or none is stated."""
    if mode is None or len(images.shape) != 3 or images.shape[0] == (1 if mode == "L" else 3):
        return images
    return InMode(images, mode)


def open_images(
    source: Any,
    *,
    option: str,
    reading: Reading | None = None,
) -> ImageSet:
    """Opens a set of images; of files, grey if every file is, else RGB.

    Args:
        source: a place as `ganstoch.locations.locate` takes it, a path or a text; or images in
            memory: an array or tensor, or what `ganstoch.data.items.collect` takes.
        option: of the command line, for messages.
        reading: what is stated of the images, if anything.

    Raises:
        UserError: for what does not exist, cannot be read or told, or is no set of images.
    """
    reading = Reading() if reading is None else reading
    if isinstance(source, ImageSet):
        return in_mode(source, reading.mode)
    if isinstance(source, Path | str):
        images = _open_place(locate(source, option=option), option=option, reading=reading)
        return in_mode(images, reading.mode)
    where, labels = f"{option.removeprefix('--')} array", None
    array: NDArray[Any]
    if isinstance(source, Tensor):
        array = to_numpy(source)
    elif isinstance(source, np.ndarray) and source.dtype != object:
        array = source
    else:
        where = f"{option.removeprefix('--')} {type(source).__name__}"
        array, labels = collect(source, option=option, reading=reading)
    numeric = NumericImages(array, where=where, reading=reading)
    if labels is not None:
        numeric.classes, numeric.labels = numbered(labels)
    return in_mode(numeric, reading.mode)


def _open_place(location: Location, *, option: str, reading: Reading) -> ImageSet:
    if location.kind != "array":
        return all_alike(open_files(location, option=option), option=option, reading=reading)
    (path,) = location.paths
    array, notes = load_array(path, key=location.key, axes=(3, 4), memory=reading.memory)
    images = NumericImages(array, where=location.text, reading=reading)
    images.path, images.notes = path, (*notes, *images.notes)
    return images


def open_files(location: Location, *, option: str) -> Files:
    """The image files of a place that holds such."""
    if location.kind == "hf":
        return HubFiles(location)
    if location.kind == "tar":
        return TarFiles(location.paths, where=location.text, option=option)
    if location.kind == "parquet":
        return ParquetFiles(location.paths, where=location.text, column=location.key)
    return (FolderFiles if location.kind == "folder" else ZipFiles)(location.paths[0])
