"""Images of the user's own, from wherever they are: `open_images` chooses the reader."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data import labels as labelling
from ganstoch.data.arrays import NumericImages, load_array, to_numpy
from ganstoch.data.containers import Files, FolderFiles, ZipFiles
from ganstoch.data.decoding import (
    ScaleFilter,
    Unreadable,
    decode,
    decode_all,
    in_threads,
    read_header,
)
from ganstoch.data.items import collect
from ganstoch.data.reading import Mode, Reading
from ganstoch.data.source import ImageSet
from ganstoch.data.tables import HubFiles, ParquetFiles
from ganstoch.data.tars import TarFiles
from ganstoch.errors import UserError
from ganstoch.locations import Location, locate
from ganstoch.types import Shape

_CACHED_BYTES = 2**28  # most decoded pixels that stay in memory, so that they are decoded once
_NAMED = 3  # unreadable files that a message names
_LUMA = (19595, 38470, 7471)  # ITU-R 601, as Pillow's: equal channels give the same level


class FileImages(ImageSet):
    """Some of the image files of a folder or an archive; up to 256 MiB stay decoded."""

    def __init__(
        self,
        files: Files,
        positions: Sequence[int],
        *,
        shape: Shape,
        reading: Reading,
        filter: ScaleFilter | None,
        option: str,
        label: str | None = None,
    ) -> None:
        self.where, self.path, self.shape, self._label = files.where, files.path, shape, label
        self._files, self._positions, self._reading = files, tuple(positions), reading
        self._names = tuple(files.names[i] for i in positions)
        self._filter, self._fix = filter, skip_fix(option)
        fits = len(positions) * prod(shape) <= _CACHED_BYTES
        self._pixels = torch.empty(len(positions), *shape, dtype=torch.uint8) if fits else None
        self._is_decoded = torch.zeros(len(positions), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._positions)

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
        positions = [self._positions[i] for i in ids.tolist()]
        order = torch.arange(len(ids))
        if self._files.order is not None:
            order = torch.tensor([self._files.order[i] for i in positions]).argsort()
        try:
            pixels = decode_all(
                [self._files[positions[i]] for i in order.tolist()],
                shape=self.shape,
                filter=self._filter,
                fit=self._reading.fit,
                fix=self._fix,
                label=self._label,
            )
        except Unreadable:
            refuse_unreadable(self._files, self._positions, fix=self._fix)
            raise
        return pixels[order.argsort()]


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
    reading: Reading = Reading(),  # noqa: B008
) -> ImageSet:
    """Opens a set of images; of files, grey if every file is, else RGB.

    Args:
        source: a place as `ganstoch.locations.locate` takes it, a path or a text; or images in
            memory: an array or tensor, or what `ganstoch.data.items.collect` takes.
        option: of the command line, for messages.
        reading: what is stated of the images.

    Raises:
        UserError: for what does not exist, cannot be read or told, or is no set of images.
    """
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
        numeric.classes, numeric.labels = labelling.numbered(labels)
    return in_mode(numeric, reading.mode)


def _open_place(location: Location, *, option: str, reading: Reading) -> ImageSet:
    if location.kind != "array":
        return _open_files(open_files(location), option=option, reading=reading)
    (path,) = location.paths
    array, notes = load_array(path, key=location.key, axes=(3, 4), memory=reading.memory)
    images = NumericImages(array, where=location.text, reading=reading)
    images.path, images.notes = path, (*notes, *images.notes)
    return images


def open_files(location: Location) -> Files:
    """The image files of a place that holds such."""
    if location.kind == "hf":
        return HubFiles(location)
    if location.kind == "tar":
        return TarFiles(location.paths, where=location.text)
    if location.kind == "parquet":
        return ParquetFiles(location.paths, where=location.text, column=location.key)
    return (FolderFiles if location.kind == "folder" else ZipFiles)(location.paths[0])


def _open_files(files: Files, *, option: str, reading: Reading) -> FileImages:
    """All image files, of the size that all have or that is asked for."""
    positions, notes = range_of_readable(files, option=option, reading=reading)
    fix = skip_fix(option)

    def header(i: int) -> tuple[tuple[int, int], bool] | None:
        try:
            return read_header(files[i], fix=fix)
        except Unreadable:
            return None

    order = in_order(files, positions)
    found = in_threads(header, order, label=f"looking at {files.where}")
    headers = {i: entry for i, entry in zip(order, found, strict=True) if entry is not None}
    if len(headers) < len(positions):
        refuse_unreadable(files, positions, fix=fix)
    known = [headers[i] for i in positions]
    side = reading.resize
    width, height = known[0][0] if side is None else (side, side)
    for i, (size, _) in zip(positions, known, strict=True):
        if side is None and size != (width, height):
            least = min(min(size) for size, _ in known)
            raise UserError(
                f"the images of {files.where} differ in size: {files.names[positions[0]]} has "
                f"{width}x{height} pixels, {files.names[i]} {size[0]}x{size[1]}; "
                f"add --resize {least}"
            )
    channels = 1 if all(is_grey for _, is_grey in known) else 3
    images = FileImages(
        files,
        positions,
        shape=(channels, height, width),
        reading=reading,
        filter=None if side is None else reading.filter,
        option=option,
    )
    images.classes, images.labels = classify(files, positions, like=range(len(files.names)))
    images.notes = (*files.passed.notes(files.where), *notes)
    return images


def range_of_readable(
    files: Files, *, option: str, reading: Reading, among: Sequence[int] | None = None
) -> tuple[Sequence[int], tuple[str, ...]]:
    """Positions of all files (``among`` some), or of those that can be decoded, and notes."""
    everyone = range(len(files.names)) if among is None else among
    positions: Sequence[int] = everyone
    notes: tuple[str, ...] = ()
    if reading.skip_unreadable:
        found = unreadable(files, everyone)
        bad = {i for i, _ in found}
        positions = [i for i in everyone if i not in bad]
        if found:
            listed = _listed([error for _, error in found])
            notes = (f"Left out of {files.where}, as unreadable: {len(found):,} files: {listed}.",)
    if not positions:
        passed = "".join(f" {note}" for note in (*files.passed.notes(files.where), *notes))
        raise UserError(f"no images in {files.where}; {option} must point to some.{passed}")
    return positions, notes


def classify(
    files: Files, positions: Sequence[int], *, like: Sequence[int], below: str | None = None
) -> tuple[tuple[str, ...], Tensor | None]:
    """Classes of the files ``like`` and labels, by a list, or by the folders ``below`` a folder."""
    names, others = ([files.names[i] for i in ids] for ids in (positions, like))
    if files.labels is not None:
        values = [[files.labels.get(name) for name in each] for each in (names, others)]
        return labelling.numbered(values[0], like=values[1])
    if not files.has_folders:
        return (), None
    depth = (files.top if below is None else below).count("/")
    inside = [[name.split("/", depth)[-1] for name in each] for each in (names, others)]
    return labelling.by_folder(inside[0], like=inside[1])


def skip_fix(option: str) -> str:
    """What to do about an unreadable file."""
    skip = "set --data.source.skip_unreadable=true" if "." in option else "add --skip-unreadable"
    return f"replace it, remove it, or {skip}"


def in_order(files: Files, positions: Sequence[int]) -> Sequence[int]:
    """The positions in the order in which reading is cheapest."""
    return positions if files.order is None else sorted(positions, key=files.order.__getitem__)


def unreadable(files: Files, positions: Sequence[int]) -> list[tuple[int, Unreadable]]:
    """Files that cannot be decoded; decodes all of them."""

    def attempt(i: int) -> Unreadable | None:
        try:
            decode(files[i], fix="")
        except Unreadable as error:
            return error
        return None

    order = in_order(files, positions)
    errors = in_threads(attempt, order, label=f"checking images of {files.where}")
    return sorted((i, error) for i, error in zip(order, errors, strict=True) if error is not None)


def refuse_unreadable(files: Files, positions: Sequence[int], *, fix: str) -> None:
    """A `UserError` that counts all unreadable files and names the first."""
    errors = [error for _, error in unreadable(files, positions)]
    if errors:
        count = f"{len(errors):,} of the {len(positions):,} image files of {files.where}"
        raise UserError(f"cannot read {count}: {_listed(errors)}; {fix}")


def _listed(errors: Sequence[Unreadable]) -> str:
    first = ", ".join(f"{error.file} ({error.reason})" for error in errors[:_NAMED])
    more = len(errors) - _NAMED
    return f"{first} and {more:,} more" if more > 0 else first
