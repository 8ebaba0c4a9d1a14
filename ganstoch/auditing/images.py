"""A set of images to be audited, wherever it came from: read in blocks, never all as floats."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ganstoch.auditing.progress import image_bar

__all__ = ["Images", "Looks", "Role", "central_square", "option"]

Role = Literal["real", "generated", "held_out"]
"""What a set of images is to the audit."""

_BLOCK_BYTES = 2**25
"""Of pixels read at once: 32 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
            brightness=self.brightness[ids],
            contrast=self.contrast[ids],
            sharpness=self.sharpness[ids],
            one_colour=self.one_colour[ids],
        )


@dataclass(frozen=True, slots=True)
class _Content:
    sha256: str
    digests: tuple[bytes, ...]
    looks: Looks


class Images(ABC):
    """Images of one shape in a fixed order.

    Attributes:
        where: the folder or file as given, or e.g. "generated array".
        path: the same as a path; None for what was in memory.
        role: what the images are to the audit.
        shape: (channels, height, width); 1 channel is grey, 3 are red, green and blue.
        labels: class of each image; None where there are none.
        notes: what was decided for the user on opening, each a sentence.
    """

    where: str
    path: Path | None = None
    role: Role
    shape: tuple[int, int, int]
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    _content: _Content | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images, at least 1."""

    @abstractmethod
    def names(self, ids: Tensor) -> tuple[str, ...]:
        """What a person calls the images: a file's path below the folder, or e.g. ``#17``.

        Args:
            ids: int64, shape (N,), each in ``range(len(self))``; repeats allowed.
        """

    @abstractmethod
    def read(self, ids: Tensor) -> Tensor:
        """The images at the given positions.

        Args:
            ids: int64, shape (N,), each in ``range(len(self))``; repeats allowed.

        Returns:
            uint8, shape (N, C, H, W), range [0, 255], contiguous, on the CPU.

        Raises:
            UserError: if an image among them cannot be read.
        """

    def sha256(self) -> str:
        """Of the pixels, image after image, each channel by channel and row by row.

        The first call reads all images, and shows its progress on a terminal when that takes long.

        Raises:
            UserError: if an image cannot be read.
        """
        return self._scanned().sha256

    def digests(self) -> tuple[bytes, ...]:
        """16 bytes for each image, the same for images of the same pixels and for no others.

        Raises:
            UserError: if an image cannot be read.
        """
        return self._scanned().digests

    def looks(self) -> Looks:
        """What each image looks like.

        Raises:
            UserError: if an image cannot be read.
        """
        return self._scanned().looks

    def _scanned(self) -> _Content:
        if self._content is None:
            whole, each, looks = hashlib.sha256(), list[bytes](), list[NDArray[np.float64]]()
            channels, height, width = self.shape
            rows = max(1, min(1024, _BLOCK_BYTES // (channels * height * width)))
            with image_bar(len(self), f"reading {self.where}") as progress:
                for ids in torch.split(torch.arange(len(self)), rows):
                    block = self.read(ids)
                    for image in block.numpy():
                        whole.update(image.data)
                        each.append(hashlib.blake2b(image.data, digest_size=16).digest())
                    looks.append(_looks(block))
                    progress.update(len(ids))
            brightness, contrast, sharpness, one_colour = np.concatenate(looks, axis=1)
            self._content = _Content(
                whole.hexdigest(),
                tuple(each),
                Looks(
                    brightness=brightness,
                    contrast=contrast,
                    sharpness=sharpness,
                    one_colour=one_colour > 0,
                ),
            )
        return self._content


def _looks(block: Tensor) -> NDArray[np.float64]:
    """The numbers of `Looks` for images (N, C, H, W), uint8; float64 (4, N)."""
    grey = block.float().mean(1)
    down, right = grey.diff(dim=1).abs().flatten(1), grey.diff(dim=2).abs().flatten(1)
    steps = torch.cat([down, right, torch.zeros(len(grey), 1)], dim=1)
    same = (block == block[:, :, :1, :1]).flatten(1).all(1)
    rows = [grey.mean((1, 2)), grey.flatten(1).std(1, correction=0), steps.mean(1), same.float()]
    return torch.stack(rows).double().numpy()


def option(role: Role) -> str:
    """The command line's option for a set of images, e.g. ``--held-out``."""
    return f"--{role.replace('_', '-')}"


def central_square(image: Image.Image, side: int) -> Image.Image:
    """The central square, scaled by Lanczos' filter; unchanged if it has that size already.

    Args:
        image: any size, grey or RGB.
        side: width and height wanted, in pixels.
    """
    if image.size == (side, side):
        return image
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    square = image.crop((left, top, left + short, top + short))
    return square.resize((side, side), Image.Resampling.LANCZOS)
