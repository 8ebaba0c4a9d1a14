"""Sets of images under audit: their role, and facts of every image from one pass over them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data.arrays import MEMORY
from ganstoch.data.images import open_images as open_set
from ganstoch.data.source import ImageSet
from ganstoch.metrics.progress import progress_bar

__all__ = ["MEMORY", "Images", "Looks", "Role", "open_images", "option"]

Role = Literal["real", "generated", "held_out"]
"""What a set of images is to the audit."""

_BLOCK_BYTES = 2**25
"""Of pixels read at once: 32 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What each image looks like in three numbers, float64, shape (N,).

    Attributes:
        brightness: mean grey level, in [0, 255].
        contrast: standard deviation of the grey levels.
        sharpness: mean absolute difference of neighbouring pixels, along rows and columns.
        one_colour: whether all pixels are the same, bool.
    """

    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    one_colour: NDArray[np.bool_]

    def of(self, ids: NDArray[np.int64]) -> Looks:
        """Those of some images."""
        return Looks(
            self.brightness[ids], self.contrast[ids], self.sharpness[ids], self.one_colour[ids]
        )


@dataclass(frozen=True, slots=True)
class _Content:
    sha256: str
    digests: tuple[bytes, ...]
    looks: Looks


class Images:
    """Images of one shape in a fixed order, in a role.

    Attributes:
        images: the images themselves; `len`, `names` and `read` are theirs.
        role: what the images are to the audit.
        where: the folder or file as given, or e.g. "generated array".
        path: the same as a path; None for what was in memory.
        shape: (channels, height, width); 1 channel is grey, 3 are red, green and blue.
        labels: class of each image; None where there are none.
        notes: what was decided for the user on opening, each a sentence.
    """

    def __init__(self, images: ImageSet, *, role: Role) -> None:
        self.images, self.role = images, role
        self.where, self.path, self.notes = images.where, images.path, images.notes
        channels, height, width = images.shape
        self.shape = (channels, height, width)
        self.labels: tuple[str, ...] | None = None
        if images.labels is not None and images.classes:
            self.labels = tuple(images.classes[label] for label in images.labels.tolist())
        self.names, self.read = images.names, images.read

    def __len__(self) -> int:
        return len(self.images)

    def sha256(self) -> str:
        """Of the pixels, image after image, each channel by channel and row by row."""
        return self._content.sha256

    def digests(self) -> tuple[bytes, ...]:
        """16 bytes for each image, the same for images of the same pixels and for no others."""
        return self._content.digests

    def looks(self) -> Looks:
        """What each image looks like."""
        return self._content.looks

    @cached_property
    def _content(self) -> _Content:
        """Facts of every image, from reading all of them once; a UserError where that fails."""
        whole, each, looks = hashlib.sha256(), list[bytes](), list[NDArray[np.float64]]()
        rows = max(1, min(1024, _BLOCK_BYTES // int(np.prod(self.shape))))
        for ids in progress_bar(
            torch.split(torch.arange(len(self)), rows), f"reading {self.where}"
        ):
            block = self.read(ids)
            for image in block.numpy():
                whole.update(image.data)
                each.append(hashlib.blake2b(image.data, digest_size=16).digest())
            looks.append(_looks(block))
        brightness, contrast, sharpness, one_colour = np.concatenate(looks, axis=1)
        all_looks = Looks(brightness, contrast, sharpness, one_colour > 0)
        return _Content(whole.hexdigest(), tuple(each), all_looks)


def open_images(
    source: Path | str | NDArray[Any] | Tensor,
    *,
    role: Role,
    resize: int | None = None,
    memory: int = MEMORY,
) -> Images:
    """Opens a set of images as `ganstoch.data.images.open_images` does, for a role."""
    images = open_set(source, option=option(role), resize=resize, memory=memory)
    return Images(images, role=role)


def option(role: Role) -> str:
    """The command line's option for a set of images, e.g. ``--held-out``."""
    return f"--{role.replace('_', '-')}"


def _looks(block: Tensor) -> NDArray[np.float64]:
    """The numbers of `Looks` for images (N, C, H, W), uint8; float64 (4, N)."""
    grey = block.float().mean(1)
    down, right = grey.diff(dim=1).abs().flatten(1), grey.diff(dim=2).abs().flatten(1)
    steps = torch.cat([down, right, torch.zeros(len(grey), 1)], dim=1)
    same = (block == block[:, :, :1, :1]).flatten(1).all(1)
    rows = [grey.mean((1, 2)), grey.flatten(1).std(1, correction=0), steps.mean(1), same.float()]
    return torch.stack(rows).double().numpy()
