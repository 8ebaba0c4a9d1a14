"""Sets of images under audit: their role, and facts of every image from one pass over them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data.images import in_mode
from ganstoch.data.images import open_images as open_set
from ganstoch.data.points import open_points
from ganstoch.data.reading import Reading
from ganstoch.data.source import ImageSet
from ganstoch.errors import UserError
from ganstoch.locations import locate
from ganstoch.metrics.features import Extractor
from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Norm

Role = Literal["real", "generated", "held_out"]
_BLOCK_BYTES = 2**25  # of pixels read at once


@dataclass(frozen=True)
class Content:
    """Facts of every image of a set."""

    sha256: str  # of the pixels, image after image, each channel by channel and row by row
    digests: tuple[bytes, ...]  # 16 bytes an image, the same for the same pixels alone
    looks: pd.DataFrame  # brightness, contrast, sharpness, one_colour: see `_looks`


class Embeddings(Extractor):
    """Rows that are features already, compared as they are."""

    name = "embedding_l2"
    norm: Norm = "l2"

    def __call__(self, images: Tensor) -> Tensor:
        """The rows (N, F), themselves."""
        return images


class Images:
    """Images of one shape (C, H, W), or points (F,), in a role; labels are names, or None."""

    def __init__(self, images: ImageSet, *, role: Role) -> None:
        self.images, self.role = images, role
        self.where, self.notes = _encodable(images.where), images.notes
        self.shape = images.shape
        self.labels: tuple[str, ...] | None = None
        if images.labels is not None and images.classes:
            self.labels = tuple(
                _encodable(images.classes[label]) for label in images.labels.tolist()
            )
        self.groups: tuple[str, ...] | None = None  # of one person or source, by `Grouping`
        self.names: Callable[[Tensor], Sequence[str]] = lambda ids: tuple(
            map(_encodable, images.names(ids))
        )
        self.read = images.read

    def __len__(self) -> int:
        return len(self.images)

    @property
    def are_points(self) -> bool:
        """Whether these are embeddings, without pixels."""
        return len(self.shape) == 1

    @property
    def are_grey(self) -> bool:
        """Whether the three channels of all images are equal; reads them until one is not."""
        blocks = progress_bar(self._blocks(), f"looking for colours in {option(self.role)}")
        return all(bool((b == b[:, :1]).all()) for b in map(self.read, blocks))

    def _blocks(self) -> tuple[Tensor, ...]:
        rows = max(1, min(1024, _BLOCK_BYTES // int(np.prod(self.shape))))
        return torch.split(torch.arange(len(self)), rows)

    @cached_property
    def content(self) -> Content:
        """Facts of every image, from reading all of them once; a UserError where that fails."""
        whole, digests, looks = hashlib.sha256(), list[bytes](), list[pd.DataFrame]()
        for ids in progress_bar(self._blocks(), f"reading {option(self.role)}"):
            block = self.read(ids)
            for image in block.numpy():
                whole.update(image.data)
                digests.append(hashlib.blake2b(image.data, digest_size=16).digest())
            looks.append(_looks(block))
        return Content(whole.hexdigest(), tuple(digests), pd.concat(looks, ignore_index=True))


def _encodable(text: str) -> str:
    """A text that UTF-8 can write: what it cannot, in a file's name, is written out."""
    return text.encode(errors="backslashreplace").decode()


EmbeddingSource = Path | str | NDArray[Any] | Tensor
# A place as `ganstoch.locations.locate` takes it, or images in memory, as `collect` takes them.
Source = Path | str | NDArray[Any] | Tensor | Images | Iterable[Any] | Callable[..., Any]


def open_images(source: Source, *, role: Role, reading: Reading | None = None) -> Images:
    """Opens a set of images for a role as `ganstoch.data.images.open_images` does, if need be."""
    reading = Reading() if reading is None else reading
    if isinstance(source, Images):  # of a checkpoint: of one size, whatever is asked for
        side = reading.resize
        if side is not None and source.shape[1:] != (side, side):
            size = "x".join(map(str, source.shape[1:]))
            raise UserError(f"{source.where} holds images of {size} pixels; leave out --resize")
        images = in_mode(source.images, reading.mode)
        if images is source.images:
            return source
        converted = Images(images, role=role)
        converted.where, converted.notes = source.where, source.notes
        converted.labels, converted.groups = source.labels, source.groups
        return converted
    return Images(open_set(source, option=option(role), reading=reading), role=role)


def open_sets(sources: Mapping[Role, Source | None], *, reading: Reading) -> dict[Role, Images]:
    """Opens the sets of an audit; all are made grey where some are, and the others look it.

    A function of a number that generates is asked for as many images as there are real ones.
    """
    stated = "--layout" if reading.layout is not None else "--range"
    if (reading.layout or reading.range) and not any(map(_is_array, sources.values())):
        raise UserError(f"{stated} is of arrays, and there is none; leave it out")
    sets: dict[Role, Images] = {}
    for role, source in sources.items():
        if source is not None:
            count = len(sets["real"]) if role == "generated" else None
            sets[role] = open_images(source, role=role, reading=replace(reading, count=count))
    colours = [images for images in sets.values() if images.shape[0] == 3]
    if len(colours) == len(sets) or not all(images.are_grey for images in colours):
        return sets
    for images in colours:
        note = f"The channels of {images.where} are equal: it was taken as grey, as the others are."
        grey = Images(in_mode(images.images, "L"), role=images.role)
        grey.notes = (*images.notes, note)
        sets[images.role] = grey
    return sets


def _is_array(source: Source | None) -> bool:
    if isinstance(source, Path | str):
        return locate(source, option="").kind == "array"
    return not (source is None or isinstance(source, Images))


def open_embeddings(sources: Mapping[Role, Any], *, reading: Reading) -> dict[Role, Images]:
    """Opens embeddings as the sets of an audit; a `UserError` unless their widths are alike."""
    if reading != Reading(memory=reading.memory):
        options = "--resize, --mode, --range and the like"
        raise UserError(f"embeddings are compared as they are; leave out {options}")
    sets: dict[Role, Images] = {}
    for role, source in sources.items():
        if source is not None:
            points = open_points(source, option=f"{option(role)}-features", reading=reading)
            sets[role] = Images(points, role=role)
    return sets


def option(role: Role) -> str:
    """The command line's option for a set of images, e.g. ``--held-out``."""
    return f"--{role.replace('_', '-')}"


def _looks(block: Tensor) -> pd.DataFrame:
    """Looks of images (N, C, H, W), uint8; sharpness: mean difference of neighbouring levels.

    Points (N, F) have no looks.
    """
    if block.ndim == 2:
        return pd.DataFrame({"one_colour": np.zeros(len(block), bool)})
    grey = block.float().mean(1)
    down, right = grey.diff(dim=1).abs().flatten(1), grey.diff(dim=2).abs().flatten(1)
    steps = torch.cat([down, right, torch.zeros(len(grey), 1)], dim=1)
    return pd.DataFrame(
        {
            "brightness": grey.mean((1, 2)).double().numpy(),
            "contrast": grey.flatten(1).std(1, correction=0).double().numpy(),
            "sharpness": steps.mean(1).double().numpy(),
            "one_colour": (block == block[:, :, :1, :1]).flatten(1).all(1).numpy(),
        }
    )
