"""An array of images as a set to be audited: its layout and range are told from its numbers.

Layout: four axes are (N, C, H, W) if the second has 1 or 3 places and the last has not, and
(N, H, W, C) the other way round; three axes are grey images (N, H, W). Range: bytes lie in
[0, 255]; floats lie in [0, 1] if none is below 0, in [-1, 1] if the least is at most -0.5. What
fits both or neither is refused rather than guessed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ganstoch.auditing.images import Images, Role, central_square
from ganstoch.errors import UserError
from ganstoch.types import to_bytes

__all__ = ["ArrayImages"]

Range = Literal["bytes", "unit", "signed"]
"""[0, 255], [0, 1] or [-1, 1]."""

_SLACK = 1e-3
"""How far beyond its range a float may lie: rounding, not another range."""
_BLOCK_ELEMENTS = 2**22


class ArrayImages(Images):
    """Images of an array, which is read where it lies: in memory, or on disk if it is mapped.

    Args:
        array: shape (N, C, H, W), (N, H, W, C) or (N, H, W), uint8 or floats.
        where: what messages call it.
        path: the file that it came from.
        role: what the images are to the audit.
        resize: side of the square that each image's centre is scaled to; None to leave them.
        notes: what was decided on opening the file.

    Raises:
        UserError: if the layout or the range cannot be told, or a number is NaN.
    """

    def __init__(
        self,
        array: NDArray[Any],
        *,
        where: str,
        role: Role,
        path: Path | None = None,
        resize: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.where, self.path, self.role = where, path, role
        self._resize = resize
        self._array = _channels_first(array, where=where)
        self._range = _range(self._array, where=where)
        _, channels, height, width = self._array.shape
        self.shape = (channels, resize or height, resize or width)
        words = {"unit": "[0, 1]", "signed": "[-1, 1]"}
        if self._range != "bytes":
            notes = (*notes, f"The floats of {where} were taken to lie in {words[self._range]}.")
        self.notes = notes

    def __len__(self) -> int:
        return len(self._array)

    def names(self, ids: Tensor) -> tuple[str, ...]:
        """Positions in the array, e.g. ``#17``, from 0 on."""
        return tuple(f"#{i}" for i in ids.tolist())

    def read(self, ids: Tensor) -> Tensor:
        """Images as bytes, floats rounded to the nearest; see `Images.read`."""
        rows = np.ascontiguousarray(self._array[ids.numpy()])  # a copy
        if self._range == "bytes":
            pixels = torch.from_numpy(rows)
        else:
            floats = torch.from_numpy(rows.astype(np.float32, copy=False))
            pixels = to_bytes(floats.mul(2).sub(1) if self._range == "unit" else floats)
        if self._resize is None or pixels.shape[2:] == (self._resize, self._resize):
            return pixels
        return torch.stack([_scaled(image, self._resize) for image in pixels])


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """One image (C, H, W) at another size."""
    grey = len(pixels) == 1
    flat = pixels[0].numpy() if grey else pixels.permute(1, 2, 0).contiguous().numpy()
    scaled = torch.from_numpy(np.array(central_square(Image.fromarray(flat), side)))
    return scaled[None] if grey else scaled.permute(2, 0, 1).contiguous()


def _channels_first(array: NDArray[Any], *, where: str) -> NDArray[Any]:
    """A view (N, C, H, W) of the array, or a UserError that says what is unclear."""
    shape = array.shape
    if 0 in shape:
        raise UserError(f"{where} is empty: its shape is {shape}")
    if array.ndim == 3:
        if shape[0] in (1, 3) or shape[2] in (1, 3):
            raise UserError(
                f"{where} has shape {shape}: one image, or several grey ones? "
                "Give four axes, (N, C, H, W) or (N, H, W, C)"
            )
        return array[:, None]
    if array.ndim != 4:
        raise UserError(
            f"{where} has shape {shape}; images have four axes, (N, C, H, W) or (N, H, W, C)"
        )
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last:
        raise UserError(
            f"{where} has shape {shape}: channels may be the second axis or the last; "
            "give images larger than 3 pixels, or a folder of files"
        )
    if not first and not last:
        rgba = " (lay transparency on a colour first)" if 4 in (shape[1], shape[3]) else ""
        raise UserError(
            f"{where} has shape {shape}: neither the second axis nor the last is of "
            f"1 or 3 channels{rgba}"
        )
    return array if first else array.transpose(0, 3, 1, 2)


def _range(array: NDArray[Any], *, where: str) -> Range:
    """Which range the numbers lie in, from all of them."""
    if array.dtype == np.uint8:
        return "bytes"
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f"{where} holds {array.dtype}; give bytes as uint8 in [0, 255], "
            "or floats in [0, 1] or [-1, 1]"
        )
    low, high = _extremes(array, where=where)
    if high > 1 + _SLACK or low < -1 - _SLACK:
        raise UserError(
            f"{where} holds floats from {low:g} to {high:g}; give bytes as uint8 in [0, 255], "
            "or floats in [0, 1] or [-1, 1]"
        )
    if low == high == 0:
        raise UserError(f"every number of {where} is 0: black or mid-grey? Give bytes as uint8")
    if low >= -_SLACK:
        return "unit"
    if low <= -0.5:
        return "signed"
    raise UserError(
        f"{where} holds floats from {low:g} to {high:g}: in [0, 1] with overshoot, or in [-1, 1] "
        "without dark pixels? Clip them to [0, 1], or give bytes as uint8"
    )


def _extremes(array: NDArray[Any], *, where: str) -> tuple[float, float]:
    low, high = float("inf"), float("-inf")
    rows = max(1, _BLOCK_ELEMENTS // int(np.prod(array.shape[1:])))
    for start in tqdm(
        range(0, len(array), rows),
        f"looking at {where}",
        file=sys.stderr,
        disable=None,
        delay=2,
        leave=False,
    ):
        block = array[start : start + rows]
        # Through NaN and infinity: both spread to the extremes of a block.
        least, most = float(block.min()), float(block.max())
        if not np.isfinite(least) or not np.isfinite(most):
            bad = ~np.isfinite(block).reshape(len(block), -1).all(axis=1)
            raise UserError(
                f"{where} contains NaN or infinite values, first in image #{start + bad.argmax()}"
            )
        low, high = min(low, least), max(high, most)
    return low, high
