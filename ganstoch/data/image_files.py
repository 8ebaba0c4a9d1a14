"""Images of the files of a folder, an archive or a table: decoded when asked for, bad ones told."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from ganstoch.data import labels as labelling
from ganstoch.data.containers import Files
from ganstoch.data.decoding import (
    Header,
    ScaleFilter,
    Unreadable,
    decode,
    decode_all,
    in_threads,
    read_header,
)
from ganstoch.data.reading import Reading
from ganstoch.data.source import ImageSet
from ganstoch.errors import UserError
from ganstoch.types import Shape

_CACHED_BYTES = 2**28  # most decoded pixels that stay in memory, so that they are decoded once
_NAMED = 3  # unreadable files that a message names


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
        self.fits = len(positions) * prod(shape) <= _CACHED_BYTES
        self._pixels = torch.empty(len(positions), *shape, dtype=torch.uint8) if self.fits else None
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


def all_alike(files: Files, *, option: str, reading: Reading) -> FileImages:
    """All image files, of the size that they have alike or that is asked for."""
    positions, notes = readable(files, option=option, reading=reading)
    fix = skip_fix(option)

    def header(i: int) -> Header | None:
        try:
            return read_header(files[i], fix=fix)
        except Unreadable:
            return None

    order = in_order(files, positions)
    found = in_threads(header, order, label=f"looking at {option}")
    headers = {i: entry for i, entry in zip(order, found, strict=True) if entry is not None}
    if len(headers) < len(positions):
        refuse_unreadable(files, positions, fix=fix)
    known = [headers[i] for i in positions]
    side = reading.resize
    width, height = known[0][0] if side is None else (side, side)
    for i, (size, *_) in zip(positions, known, strict=True):
        if side is None and size != (width, height):
            least = min(min(each.size) for each in known)
            raise UserError(
                f"the images of {files.where} differ in size: {files.names[positions[0]]} has "
                f"{width}x{height} pixels, {files.names[i]} {size[0]}x{size[1]}; "
                f"add --resize {least}"
            )
    channels = 1 if all(each.is_grey for each in known) else 3
    images = FileImages(
        files,
        positions,
        shape=(channels, height, width),
        reading=reading,
        filter=None if side is None else reading.filter,
        option=option,
    )
    images.classes, images.labels = classify(files, positions, like=range(len(files.names)))
    notes = (*notes, *labelling.ignored(files.labels, files.names, where=files.where))
    if several := sum(each.has_frames for each in known):
        notes = (
            *notes,
            f"Of {several:,} files of {files.where} the first of several frames counts.",
        )
    images.notes = (*files.passed.notes(files.where), *notes)
    if files.is_packed and not images.fits and files.order != list(positions):
        often = "it is unpacked anew for every block of images, which a .zip or .tar is not"
        slow = f"The members of {files.where} do not lie in the order of their names: {often}."
        images.notes = (*images.notes, slow)
    return images


def readable(
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
    errors = in_threads(attempt, order, label="checking images")
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
