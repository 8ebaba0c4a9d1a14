"""Arrays of images in files or in memory: read as numbers only, never as a program.

Four axes are (N, C, H, W) or (N, H, W, C), three (N, H, W); bytes lie in [0, 255], floats in [0, 1]
or, if the least is at most -0.5, in [-1, 1]. What fits both or neither is refused.
"""

import math
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

ARRAY_ENDINGS = (".npz", ".npy", ".pt", ".pth")
MEMORY = 2 * 2**30  # bytes that a compressed array may unpack to unless told otherwise
_SLACK = 1e-3  # how far beyond its range a float may lie: rounding, not another range


class NumericImages(ImageSet):
    """Images of an array, mapped or not; `UserError` for an unclear layout or range, and NaN."""

    def __init__(self, array: NDArray[Any], *, where: str, resize: int | None = None) -> None:
        self._array = _channels_first(array, where=where)
        self._low = _lower_end(self._array, where=where)
        self._resize, self.where = resize, where
        _, channels, height, width = self._array.shape
        self.shape = (channels, resize or height, resize or width)
        if self._low is not None:
            self.notes = (f"The floats of {where} were taken to lie in [{self._low}, 1].",)

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


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """One image (C, H, W) at another size."""
    flat = pixels.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(flat[..., 0] if len(pixels) == 1 else flat)
    scaled = np.array(central_square(image, side, filter="lanczos"))
    return torch.from_numpy(scaled).reshape(side, side, -1).permute(2, 0, 1).contiguous()


def _channels_first(array: NDArray[Any], *, where: str) -> NDArray[Any]:
    """A view (N, C, H, W) of the array."""
    shape = array.shape
    if 0 not in shape:
        if array.ndim == 3 and not {shape[0], shape[2]} & {1, 3}:
            return array[:, None]
        places = [axis for axis in (1, 3) if array.ndim == 4 and shape[axis] in (1, 3)]
        if len(places) == 1:
            return array if places == [1] else array.transpose(0, 3, 1, 2)
    raise UserError(
        f"{where} has shape {shape}; give images of 1 or 3 channels, without transparency, as "
        "(N, C, H, W) or (N, H, W, C), or grey ones as (N, H, W), larger than 3 pixels"
    )


def _lower_end(array: NDArray[Any], *, where: str) -> int | None:
    """0 or -1, where the range of floats begins, from all of them; None for bytes."""
    if array.dtype == np.uint8:
        return None
    fix = "give bytes as uint8 in [0, 255], or floats in [0, 1], or in [-1, 1] and some below -0.5"
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{where} holds {array.dtype}; {fix}")
    low, high = float(array.min()), float(array.max())  # NaN spreads to both
    if not math.isfinite(low) or not math.isfinite(high):
        first = next(i for i, image in enumerate(array) if not np.isfinite(image).all())
        raise UserError(f"{where} contains NaN or infinite values, first in image #{first}")
    in_range = low >= -1 - _SLACK and high <= 1 + _SLACK and (low, high) != (0, 0)
    if in_range and low >= -_SLACK:
        return 0
    if in_range and low <= -0.5:
        return -1
    raise UserError(f"{where} holds floats from {low:g} to {high:g}; {fix}")


def load_array(path: Path, *, memory: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The array of images in a file, mapped where the format allows; notes on which was taken."""
    ending = path.suffix.lower()
    try:
        if ending == ".npz":
            array, key, keys = _npz(path, memory=memory)
        elif ending == ".npy":
            with path.open("rb") as file:
                _read_header(file)
            return np.load(path, mmap_mode="r", allow_pickle=False), ()
        else:
            array, key, keys = _torch(path)
    except (UserError, MemoryError):
        raise
    except PermissionError as error:
        raise UserError(f"may not read {path}; change its permissions") from error
    except Exception as error:  # a damaged file raises almost anything
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"cannot read {path}: damaged, of another format or no plain numbers ({first})"
        ) from error
    if key is None:
        names = ", ".join(keys) or "nothing"
        raise UserError(f"{path} holds no array of images with four axes (it holds {names})")
    others = ", ".join(other for other in keys if other != key)
    note = f"Of the arrays in {path}, the images are {key}; passed over: {others}."
    return array, (note,) if others else ()


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers as an array, without a copy where numpy knows their kind."""
    tensor = tensor.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _npz(path: Path, *, memory: int) -> tuple[NDArray[Any], str | None, list[str]]:
    """The first array that may be images, its name, and the names of all."""
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
            return arrays[key], key, arrays.files
        return np.empty(0), None, arrays.files


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and bytes that a .npy file says it holds; ValueError for an impossible one."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    size = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or size >= 2**63:
        raise ValueError(f"no array has the shape {str(shape)[:60]}")
    return shape, dtype, size


def _torch(path: Path) -> tuple[NDArray[Any], str | None, list[str]]:
    """A tensor, or the only one of a dictionary that may be images; returns as `_npz`."""
    archive = zipfile.is_zipfile(path)  # if not, it was written the old way and cannot be mapped
    if archive:
        with zipfile.ZipFile(path) as entries:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.infolist()):
                raise UserError(f"{path} was compressed, as torch.save does not; save it anew")
    with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    if isinstance(content, Tensor):
        content = {"tensor": content}
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}; save one tensor of images")
    keys = [str(key) for key in content]
    tensors = [
        (str(key), value)
        for key, value in content.items()
        if isinstance(value, Tensor) and value.ndim in (3, 4)
    ]
    if len(tensors) > 1:
        names = ", ".join(sorted(key for key, _ in tensors))
        raise UserError(f"{path} holds several tensors of images ({names}); save one of them alone")
    if not tensors:
        return np.empty(0), None, keys
    key, tensor = tensors[0]
    return to_numpy(tensor), key, keys
