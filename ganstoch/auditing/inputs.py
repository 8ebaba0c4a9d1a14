"""Sets of images under audit: their role, and facts of every image from one pass over them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data.arrays import MEMORY
from ganstoch.data.images import open_images as open_set
from ganstoch.data.source import ImageSet
from ganstoch.metrics.progress import progress_bar

Role = Literal["real", "generated", "held_out"]
_BLOCK_BYTES = 2**25  # of pixels read at once


@dataclass(frozen=True)
class Content:
    """Facts of every image of a set."""

    sha256: str  # of the pixels, image after image, each channel by channel and row by row
    digests: tuple[bytes, ...]  # 16 bytes an image, the same for the same pixels alone
    looks: pd.DataFrame  # brightness, contrast, sharpness, one_colour: see `_looks`


class Images:
    """Images of one shape (C, H, W), in a role; an `ImageSet` whose labels are names, or None."""

    def __init__(self, images: ImageSet, *, role: Role) -> None:
        self.images, self.role = images, role
        self.where, self.notes = images.where, images.notes
        channels, height, width = images.shape
        self.shape = (channels, height, width)
        self.labels: tuple[str, ...] | None = None
        if images.labels is not None and images.classes:
            self.labels = tuple(images.classes[label] for label in images.labels.tolist())
        self.groups: tuple[str, ...] | None = None  # of one person or source, by `Grouping`
        self.names: Callable[[Tensor], Sequence[str]] = images.names
        self.read = images.read

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def content(self) -> Content:
        """Facts of every image, from reading all of them once; a UserError where that fails."""
        whole, digests, looks = hashlib.sha256(), list[bytes](), list[pd.DataFrame]()
        rows = max(1, min(1024, _BLOCK_BYTES // int(np.prod(self.shape))))
        blocks = torch.split(torch.arange(len(self)), rows)
        for ids in progress_bar(blocks, f"reading {self.where}"):
            block = self.read(ids)
            for image in block.numpy():
                whole.update(image.data)
                digests.append(hashlib.blake2b(image.data, digest_size=16).digest())
            looks.append(_looks(block))
        return Content(whole.hexdigest(), tuple(digests), pd.concat(looks, ignore_index=True))


Source = Path | str | NDArray[Any] | Tensor | Images


def open_images(
    source: Source, *, role: Role, resize: int | None = None, memory: int = MEMORY
) -> Images:
    """Opens a set of images for a role as `ganstoch.data.images.open_images` does, if need be."""
    if isinstance(source, Images):
        return source
    return Images(open_set(source, option=option(role), resize=resize, memory=memory), role=role)


def option(role: Role) -> str:
    """The command line's option for a set of images, e.g. ``--held-out``."""
    return f"--{role.replace('_', '-')}"


def _looks(block: Tensor) -> pd.DataFrame:
    """Looks of images (N, C, H, W), uint8; sharpness: mean difference of neighbouring levels."""
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
