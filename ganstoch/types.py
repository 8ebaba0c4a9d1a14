"""Records that travel between the rooms of the house: no tuples whose order must be remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Batch", "Critique", "ImageShape", "Neighbours", "Norm", "Split"]
__all__ += ["to_bytes", "to_signed"]

ImageShape = tuple[int, int, int]
"""(channels, height, width)."""

Norm = Literal["l1", "l2"]
Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The real half of one iteration, on the training device.

    Attributes:
        pixels: uint8 images, shape (m, C, H, W), range [0, 255]. Bytes, because a logical batch may
            be as large as the data set while only a micro-batch of it is ever held as floats.
        ids: positions of the images in the subset, int64, shape (m,).
        size: m of the whole iteration; larger than ``len(ids)`` when several ranks share it.
    """

    pixels: Tensor
    ids: Tensor
    size: int


@dataclass(frozen=True, slots=True)
class Critique:
    """What a discriminator says of a batch.

    Attributes:
        logits: unbounded score, large for "real", shape (N,).
        features: activations before the last layer, flattened, shape (N, F).
    """

    logits: Tensor
    features: Tensor


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each query its nearest bank member.

    Attributes:
        distances: float64, shape (Q,), exact (not the search index's own estimate).
        ids: position in the bank, int64, shape (Q,); of equally near ones the lowest.
    """

    distances: Tensor
    ids: Tensor


def to_signed(pixels: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bytes in [0, 255] as floats in [-1, 1], the range of the generator's tanh; any shape."""
    return pixels.to(dtype).div(127.5).sub_(1.0)


def to_bytes(images: Tensor) -> Tensor:
    """Floats in [-1, 1] rounded to the nearest byte in [0, 255], uint8; any shape."""
    return images.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
