"""Arrays of images in files or in memory: read as numbers only, never as a program.

Layout: four axes are (N, C, H, W) if the second has 1 or 3 places and the last has not, and (N, H,
W, C) the other way round; three axes are grey images (N, H, W). Range: bytes lie in [0, 255];
floats lie in [0, 1] if none is below 0, in [-1, 1] if the least is at most -0.5. What fits both or
neither is refused.
"""

from __future__ import annotations

import math
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ganstoch.data.decoding import central_square
from ganstoch.data.source import ImageSet
from ganstoch.errors import UserError
from ganstoch.types import to_bytes

__all__ = ["ARRAY_ENDINGS", "MEMORY", "array_images", "load_array", "to_numpy"]

ARRAY_ENDINGS = (".npz", ".npy", ".pt", ".pth")
"""Of files that hold many images each."""
MEMORY = 2 * 2**30
"""Bytes that a compressed array may unpack to unless told otherwise."""

_OBJECTS = "holds Python objects, which are not run; save plain numbers"
_SLACK = 1e-3
"""How far beyond its range a float may lie: rounding, not another range."""
_BLOCK_ELEMENTS = 2**22


class _NumericImages(ImageSet):
    """Images of an array, in memory or mapped."""

    def __init__(
        self, array: NDArray[Any], *, low: float | None, where: str, resize: int | None
    ) -> None:
        self._array, self._low, self._resize, self.where = array, low, resize, where
        _, channels, height, width = array.shape
        self.shape = (channels, resize or height, resize or width)

    def __len__(self) -> int:
        return len(self._array)

    def read(self, ids: Tensor) -> Tensor:
        """Images as bytes, floats rounded to the nearest; see `ImageSet.read`."""
        rows = np.ascontiguousarray(self._array[ids.numpy()])  # a copy
        if self._low is None:
            pixels = torch.from_numpy(rows)
        else:
            floats = torch.from_numpy(rows.astype(np.float32, copy=False))
            pixels = to_bytes(floats.mul(2).sub(1) if self._low == 0 else floats)
        if self._resize is None or pixels.shape[2:] == (self._resize, self._resize):
            return pixels
        return torch.stack([_scaled(image, self._resize) for image in pixels])


def array_images(array: NDArray[Any], *, where: str, resize: int | None = None) -> ImageSet:
    """Images of an array, its layout and range told from its numbers.

    Args:
        array: shape (N, C, H, W), (N, H, W, C) or (N, H, W), uint8 or floats.
        where: what messages call it.
        resize: side of the square that each image's centre is scaled to; None to leave them.

    Raises:
        UserError: if the layout or the range cannot be told, or a number is NaN.
    """
    array = _channels_first(array, where=where)
    low = _lower_end(array, where=where)
    images = _NumericImages(array, low=low, where=where, resize=resize)
    if low is not None:
        images.notes = (f"The floats of {where} were taken to lie in [{low}, 1].",)
    return images


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """One image (C, H, W) at another size."""
    flat = pixels.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(flat[..., 0] if len(pixels) == 1 else flat)
    scaled = np.array(central_square(image, side, filter="lanczos"))
    return torch.from_numpy(scaled).reshape(side, side, -1).permute(2, 0, 1).contiguous()


def _channels_first(array: NDArray[Any], *, where: str) -> NDArray[Any]:
    """A view (N, C, H, W) of the array, or a UserError that says what is unclear."""
    shape = array.shape
    layouts = "(N, C, H, W) or (N, H, W, C)"
    if 0 in shape:
        raise UserError(f"{where} is empty: its shape is {shape}")
    if array.ndim == 3:
        if shape[0] not in (1, 3) and shape[2] not in (1, 3):
            return array[:, None]
        question = f"one image, or several grey ones? Give four axes, {layouts}"
    elif array.ndim != 4:
        question = f"images have four axes, {layouts}"
    else:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if first != last:
            return array if first else array.transpose(0, 3, 1, 2)
        question = (
            "channels may be the second axis or the last; give images larger than 3 pixels, or a "
            "folder of files"
        )
        if not first:
            rgba = " (lay transparency on a colour first)" if 4 in (shape[1], shape[3]) else ""
            question = f"neither the second axis nor the last is of 1 or 3 channels{rgba}"
    raise UserError(f"{where} has shape {shape}: {question}")


def _lower_end(array: NDArray[Any], *, where: str) -> int | None:
    """0 or -1, where the range of floats begins, from all of them; None for bytes."""
    if array.dtype == np.uint8:
        return None
    fix = "give bytes as uint8 in [0, 255], or floats in [0, 1] or [-1, 1]"
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{where} holds {array.dtype}; {fix}")
    low, high = _extremes(array, where=where)
    if high > 1 + _SLACK or low < -1 - _SLACK:
        raise UserError(f"{where} holds floats from {low:g} to {high:g}; {fix}")
    if low == high == 0:
        raise UserError(f"every number of {where} is 0: black or mid-grey? Give bytes as uint8")
    if low >= -_SLACK:
        return 0
    if low <= -0.5:
        return -1
    raise UserError(
        f"{where} holds floats from {low:g} to {high:g}: in [0, 1] with overshoot, or in [-1, 1] "
        "without dark pixels? Clip them to [0, 1], or give bytes as uint8"
    )


def _extremes(array: NDArray[Any], *, where: str) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    rows = max(1, _BLOCK_ELEMENTS // math.prod(array.shape[1:]))
    for start in range(0, len(array), rows):
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


def load_array(path: Path, *, memory: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The array of images in a file, mapped rather than read where the format allows.

    Args:
        path: a file with the ending .npz, .npy, .pt or .pth.
        memory: bytes that an array may unpack to.

    Returns:
        The array, and notes on which of several was taken, each a sentence.
    """
    ending = path.suffix.lower()
    try:
        if ending == ".npz":
            return _npz(path, memory=memory)
        return _npy(path) if ending == ".npy" else _torch(path)
    except (UserError, MemoryError):
        raise
    except PermissionError as error:
        raise UserError(f"may not read {path}; change its permissions") from error
    except Exception as error:  # a damaged file raises almost anything
        text = str(error)
        words = ("allow_pickle", "Object arrays", "Python objects")
        if isinstance(error, pickle.UnpicklingError) or any(word in text for word in words):
            raise UserError(f"{path} {_OBJECTS}") from error
        first = (text.strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"cannot read {path}: cut short, damaged or of another format ({first})"
        ) from error


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers as an array, without a copy where numpy knows their kind."""
    tensor = tensor.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _npy(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    with path.open("rb") as file:
        _read_header(file)
    return np.load(path, mmap_mode="r", allow_pickle=False), ()


def _npz(path: Path, *, memory: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    with path.open("rb") as file:  # numpy leaves a damaged file open
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is no .npz file; give it the ending .npy")
        assert arrays.zip is not None
        for key, name in zip(arrays.files, arrays.zip.namelist(), strict=True):
            with arrays.zip.open(name) as entry:
                shape, dtype, size = _read_header(entry)
            if dtype.kind not in "fiub" or len(shape) not in (3, 4):
                continue
            if size > memory:
                raise UserError(
                    f"{path} unpacks to {size / 2**20:,.0f} MiB; save the array as .npy, which is "
                    "not read whole, or give as much with --memory"
                )
            return arrays[key], _choice(path, key, arrays.files)
        raise _no_images(path, arrays.files)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and bytes that a .npy file says it holds; ValueError for an impossible one."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    size = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or size >= 2**63:
        raise ValueError(f"no array has the shape {str(shape)[:60]}")
    return shape, dtype, size


def _torch(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    archive = zipfile.is_zipfile(path)  # if not, it was written the old way and cannot be mapped
    if archive:
        with zipfile.ZipFile(path) as entries:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.infolist()):
                raise UserError(
                    f"{path} was compressed, which torch.save does not do; save it anew"
                )
    with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    if isinstance(content, Tensor):
        return to_numpy(content), ()
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}; save one tensor of images")
    keys = [str(key) for key in content]
    tensors = {
        str(key): value
        for key, value in content.items()
        if isinstance(value, Tensor) and value.ndim in (3, 4)
    }
    if not tensors:
        raise _no_images(path, keys)
    if len(tensors) > 1:
        raise UserError(
            f"{path} holds several tensors that may be images ({', '.join(sorted(tensors))}); "
            "save one of them alone"
        )
    key, tensor = next(iter(tensors.items()))
    return to_numpy(tensor), _choice(path, key, keys)


def _choice(path: Path, key: str, keys: list[str]) -> tuple[str, ...]:
    """A note on which array of a file was taken; none if it was the only one."""
    others = [other for other in keys if other != key]
    if not others:
        return ()
    return (f"Of the arrays in {path}, the images are {key}; passed over: {', '.join(others)}.",)


def _no_images(path: Path, keys: list[str]) -> UserError:
    names = ", ".join(keys) or "nothing"
    return UserError(f"{path} holds no array of images with four axes (it holds {names})")
