"""A set of images to be audited, wherever it came from: read in blocks, never all as floats."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from ganstoch.auditing.progress import image_bar

__all__ = ["Images", "Role", "central_square", "option"]

Role = Literal["real", "generated", "held_out"]
"""What a set of images is to the audit."""

_BLOCK_BYTES = 2**25
"""Of pixels read at once: 32 MiB."""


@dataclass(frozen=True, slots=True)
class _Content:
    sha256: str
    digests: tuple[bytes, ...]


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

    def _scanned(self) -> _Content:
        if self._content is None:
            whole, each = hashlib.sha256(), list[bytes]()
            channels, height, width = self.shape
            rows = max(1, min(1024, _BLOCK_BYTES // (channels * height * width)))
            with image_bar(len(self), f"reading {self.where}") as progress:
                for ids in torch.split(torch.arange(len(self)), rows):
                    for image in self.read(ids).numpy():
                        whole.update(image.data)
                        each.append(hashlib.blake2b(image.data, digest_size=16).digest())
                    progress.update(len(ids))
            self._content = _Content(whole.hexdigest(), tuple(each))
        return self._content


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
