"""What an array of images means: one validation of layout and range for every entrance.

Audit, metrics and monitors ask here. A layout is (N, C, H, W) or (N, H, W, C), of 1 or 3 channels;
a range is "bytes" in [0, 255], "unit" in [0, 1] or "symmetric" in [-1, 1]. What fits one of them
alone is recognized, what fits several or none is refused until it is stated.
"""

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.types import to_bytes

Layout = Literal["NCHW", "NHWC"]
Range = Literal["bytes", "unit", "symmetric"]
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC")
RANGES: dict[Range, tuple[float, float]] = {"bytes": (0, 255), "unit": (0, 1), "symmetric": (-1, 1)}
# How far beyond its range a float may lie, of [0, 1] or [-1, 1]: rounding, no other range.
_SLACK = 1e-3
_DARK = -0.5  # a set whose floats go below is symmetric
_BRIGHT = 128  # a set whose numbers in [0, 255] reach it is of bytes


def channel_axis(shape: tuple[int, ...], *, layout: Layout | None = None) -> int | None:
    """1 or 3, where four axes have their 1 or 3 channels; None where both may, or neither does."""
    places = [axis for axis in (1, 3) if len(shape) == 4 and shape[axis] in (1, 3)]
    if layout is not None:
        places = [axis for axis in places if axis == LAYOUTS.index(layout) * 2 + 1]
    return places[0] if len(places) == 1 else None


def within(low: float, high: float, values: Range) -> bool:
    """Whether numbers from ``low`` to ``high`` lie in a range, but for rounding; False for NaN."""
    least, most = RANGES[values]
    slack = _SLACK * max(1, (most - least) / 2)
    return low >= least - slack and high <= most + slack


def range_of(low: float, high: float, *, floats: bool) -> Range | None:
    """The range that a whole set of numbers, no uint8, is certain to have, by its ends; or None."""
    if floats and low <= _DARK and within(low, high, "symmetric"):
        return "symmetric"
    if floats and (low, high) != (0, 0) and within(low, high, "unit"):
        return "unit"
    return "bytes" if high >= _BRIGHT and within(low, high, "bytes") else None


def as_symmetric(images: Tensor, values: Range) -> Tensor:
    """Floats of a range mapped to [-1, 1]; those that lie there are returned as they are."""
    if values == "symmetric":
        return images
    return images.mul(2 if values == "unit" else 1 / 127.5).sub_(1)


def as_bytes(images: Tensor, values: Range) -> Tensor:
    """Numbers of a range, rounded to bytes; uint8."""
    if values == "bytes":
        return images.round().clamp_(0, 255).to(torch.uint8)
    return to_bytes(as_symmetric(images, values))


def checked_images(images: Any, *, values: Range = "symmetric") -> Tensor:
    """A batch of images as a detached tensor (N, C, H, W), uint8 or float32 or 64 in [-1, 1].

    Args:
        images: a tensor or numpy array, uint8 or floats; channels last are put first where no axis
            but the last can be theirs.
        values: the range of floats; of "bytes" and "unit" they are mapped to [-1, 1].

    Raises:
        UserError: a `ValueError`, for any other type, shape or range, which it names.
    """
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.array(images))  # a copy: a read-only array makes a warning
    if not isinstance(images, Tensor):
        kind = type(images).__name__
        raise UserError(f"images must be a tensor or numpy array (N, C, H, W), got a {kind}")
    if images.ndim != 4 or images.numel() == 0:
        shape = tuple(images.shape)
        raise UserError(f"images must have shape (N, C, H, W), none of them 0; got {shape}")
    tensor: Tensor = images.detach()
    if tensor.shape[1] > 4 and channel_axis(tuple(tensor.shape)) == 3:
        tensor = tensor.permute(0, 3, 1, 2).contiguous()
    if tensor.dtype == torch.uint8:
        return tensor
    if not tensor.is_floating_point():
        fix = "give bytes in [0, 255] as .to(torch.uint8)"
        raise UserError(f"images must be uint8 or floats in [-1, 1], got {tensor.dtype}; {fix}")
    if tensor.dtype != torch.float64:
        tensor = tensor.float()
    low, high = (value.item() for value in torch.aminmax(tensor))
    if within(low, high, values):
        return as_symmetric(tensor, values)
    least, most = RANGES[values]
    fixes = {
        "bytes": 'map them by x / 127.5 - 1, give bytes as uint8, or value_range="bytes"',
        "unit": 'map them by 2 * x - 1, or give value_range="unit"',
        "symmetric": 'give value_range="symmetric"',
    }
    fix = fixes.get(range_of(low, high, floats=True) or "", "map them to it")
    if not math.isfinite(low) or not math.isfinite(high):
        fix = "find out where values that are not finite come from"
    raise UserError(f"float images must lie in [{least}, {most}], got [{low:g}, {high:g}]; {fix}")


def checked_set(images: Any, *, what: str) -> Tensor:
    """A whole set of images as `checked_images`, floats of the range that their ends make certain.

    ``what`` is the set's name in messages. Floats that fit no range with certainty are symmetric.
    """
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.array(images))
    values: Range = "symmetric"
    if isinstance(images, Tensor) and images.is_floating_point() and images.numel():
        low, high = (value.item() for value in torch.aminmax(images.detach().float()))
        values = range_of(low, high, floats=True) or values
    try:
        return checked_images(images, values=values)
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
