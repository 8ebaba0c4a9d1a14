"""Arrays of images in files or in memory: read as numbers only, never as a program.

Four axes are (N, C, H, W) or (N, H, W, C), three (N, H, W); what the numbers mean is told by their
ends. What fits several layouts or ranges, or none, is refused unless it is stated.
"""

import math
import mmap
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

from ganstoch.data.decoding import square
from ganstoch.data.reading import Reading
from ganstoch.data.source import ImageSet
from ganstoch.errors import UserError
from ganstoch.pixels import RANGES, Layout, Range, as_bytes, channel_axis, range_of, within

_BLOCK = 2**24  # numbers that are looked at at once


class NumericImages(ImageSet):
    """Images of an array, mapped or not; `UserError` for an unclear layout or range, and NaN."""

    def __init__(self, array: NDArray[Any], *, where: str, reading: Reading) -> None:
        self.where, self._side = where, reading.resize
        self._fit, self._filter = reading.fit, reading.filter
        self._array, last = _channels_first(array, where=where, layout=reading.layout)
        self._range = _range(self._array, where=where, stated=reading.range)
        _, channels, height, width = self._array.shape
        self.shape = (channels, self._side or height, self._side or width)
        notes = []
        if last and reading.layout is None:
            notes.append(f"The last axis of {where} was taken to be the channels.")
        if self._array.dtype != np.uint8 and reading.range is None:
            ends = "[{}, {}]".format(*RANGES[self._range])
            kind = "floats" if self._array.dtype.kind == "f" else "numbers"
            notes.append(f"The {kind} of {where} were taken to lie in {ends}.")
        self.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self._array)

    def read(self, ids: Tensor) -> Tensor:
        """Images as bytes, floats rounded to the nearest; see `ImageSet.read`."""
        rows = np.ascontiguousarray(self._array[ids.numpy()])  # a copy
        _release(self._array)
        if self._array.dtype == np.uint8 and self._range == "bytes":
            pixels = torch.from_numpy(rows)
        else:
            pixels = as_bytes(torch.from_numpy(rows.astype(np.float32, copy=False)), self._range)
        if self._side is None or pixels.shape[2:] == (self._side, self._side):
            return pixels
        return torch.stack([self._scaled(image, self._side) for image in pixels])

    def _scaled(self, pixels: Tensor, side: int) -> Tensor:
        """One image (C, H, W) at another size."""
        flat = pixels.permute(1, 2, 0).contiguous().numpy()
        image = Image.fromarray(flat[..., 0] if len(pixels) == 1 else flat)
        scaled = np.array(square(image, side, filter=self._filter, fit=self._fit))
        return torch.from_numpy(scaled).reshape(side, side, -1).permute(2, 0, 1).contiguous()


def _release(array: NDArray[Any]) -> None:
    """Lets go of a mapped file's pages, which would count as this program's memory."""
    mapped: mmap.mmap | None = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _channels_first(
    array: NDArray[Any], *, where: str, layout: Layout | None
) -> tuple[NDArray[Any], bool]:
    """A view (N, C, H, W) of the array, and whether its channels were last."""
    shape = array.shape
    if 0 not in shape:
        if array.ndim == 3 and not {shape[0], shape[2]} & {1, 3}:
            return array[:, None], False
        axis = channel_axis(shape, layout=layout)
        if axis is not None:
            return (array, False) if axis == 1 else (array.transpose(0, 3, 1, 2), True)
        if layout is None and array.ndim == 4 and {shape[1], shape[3]} <= {1, 3}:
            raise UserError(f"{where} has shape {shape}, of either layout; say --layout NCHW|NHWC")
    raise UserError(
        f"{where} has shape {shape}; give images of 1 or 3 channels, without transparency, as "
        "(N, C, H, W) or (N, H, W, C), or grey ones as (N, H, W), larger than 3 pixels"
    )


def _range(array: NDArray[Any], *, where: str, stated: Range | None) -> Range:
    """The range of all numbers of the array, stated or certain."""
    if array.dtype == np.uint8 and stated in (None, "bytes"):
        return "bytes"
    if array.dtype.kind not in "fiu":
        raise UserError(f"{where} holds {array.dtype}; give bytes as uint8, or floats")
    low, high = ends_of(array)
    if not math.isfinite(low) or not math.isfinite(high):
        first = next(i for i, image in enumerate(array) if not np.isfinite(image).all())
        raise UserError(f"{where} contains NaN or infinite values, first in image #{first}")
    numbers = f"{where} holds {array.dtype} from {low:g} to {high:g}"
    if stated is not None:
        if not within(low, high, stated):
            raise UserError(f"{numbers}, which is not --range {stated}")
        return stated
    found = range_of(low, high, floats=array.dtype.kind == "f")
    if found is None:
        raise UserError(f"{numbers}, of no certain range; say --range bytes|unit|symmetric, or map")
    return found


def ends_of(array: NDArray[Any]) -> tuple[float, float]:
    """The least and the largest number, to both of which NaN spreads; of a mapped array too."""
    rows = max(1, _BLOCK // max(1, math.prod(array.shape[1:])))
    blocks = [array[start : start + rows] for start in range(0, len(array), rows)]
    lows, highs = ([end(block) for block in blocks] for end in (np.min, np.max))
    return float(np.min(lows)), float(np.max(highs))


def load_array(
    path: Path, *, key: str | None, axes: tuple[int, ...], memory: int
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The array in a file, mapped where the format allows; notes on which was taken.

    ``key`` names one of several; without, it is the only one with so many ``axes``.
    """
    ending = path.suffix.lower()
    try:
        if ending == ".npy":
            with path.open("rb") as file:
                _read_header(file)
            return np.load(path, mmap_mode="r", allow_pickle=False), ()
        if ending == ".npz":
            with path.open("rb") as file:  # numpy leaves a damaged file open
                return _npz(path, file, key=key, axes=axes, memory=memory)
        return _torch(path, key=key, axes=axes)
    except (UserError, MemoryError):
        raise
    except PermissionError as error:
        raise UserError(f"may not read {path}; change its permissions") from error
    except Exception as error:  # a damaged file raises almost anything
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"cannot read {path}: damaged, of another format or no plain numbers ({first})"
        ) from error


def _choose(
    path: Path, shapes: Mapping[str, tuple[int, ...]], *, key: str | None, axes: tuple[int, ...]
) -> tuple[str, tuple[str, ...]]:
    """The array that was named, or the only one that may be meant, by name; and a note."""
    if key is not None:
        if key not in shapes:
            raise UserError(f"{path}:{key} is no array; there are {', '.join(shapes) or 'none'}")
        return key, ()
    found = [name for name, shape in shapes.items() if len(shape) in axes]
    if len(found) == 1:
        others = ", ".join(name for name in shapes if name != found[0])
        note = f"Of the arrays in {path}, {found[0]} was taken; passed over: {others}."
        return found[0], (note,) if others else ()
    if found:
        names = ", ".join(f"{name} {shapes[name]}" for name in found)
        raise UserError(f"{path} holds several arrays: {names}; name one, as {path}:{found[0]}")
    kinds = " or ".join(map(str, axes))
    raise UserError(f"{path} holds no array of {kinds} axes (it holds {', '.join(shapes) or '-'})")


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers as an array, without a copy where numpy knows their kind."""
    tensor = tensor.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _npz(
    path: Path, file: IO[bytes], *, key: str | None, axes: tuple[int, ...], memory: int
) -> tuple[NDArray[Any], tuple[str, ...]]:
    arrays = np.load(file, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise UserError(f"{path} is no .npz file; give it the ending .npy")
    assert arrays.zip is not None
    shapes, sizes = {}, {}
    for name, member in zip(arrays.files, arrays.zip.namelist(), strict=True):
        with arrays.zip.open(member) as entry:
            shape, dtype, sizes[name] = _read_header(entry)
        shapes[name] = shape if dtype.kind in "fiub" else ()
    taken, notes = _choose(path, shapes, key=key, axes=axes)
    if sizes[taken] > memory:
        raise UserError(
            f"{path} unpacks to {sizes[taken] / 2**20:,.0f} MiB; save the array as .npy, which is "
            "not read whole, or give as much with --memory"
        )
    return arrays[taken], notes


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and bytes that a .npy file says it holds; ValueError for an impossible one."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    size = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or size >= 2**63:
        raise ValueError(f"no array has the shape {str(shape)[:60]}")
    return shape, dtype, size


def _torch(
    path: Path, *, key: str | None, axes: tuple[int, ...]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """A tensor, or one of a dictionary."""
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
    tensors = {str(name): value for name, value in content.items()}
    shapes = {n: tuple(t.shape) if isinstance(t, Tensor) else () for n, t in tensors.items()}
    taken, notes = _choose(path, shapes, key=key, axes=axes)
    if not isinstance(tensors[taken], Tensor):
        raise UserError(f"{taken} of {path} is a {type(tensors[taken]).__name__}, and no tensor")
    return to_numpy(tensors[taken]), notes
