"""Files that hold many images each, read as numbers only, never as a program."""

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
from torch import Tensor

from ganstoch.errors import UserError

__all__ = ["load_array", "to_numpy"]

_OBJECTS = "holds Python objects, which are not run; save plain numbers"


def load_array(path: Path, *, memory: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The array of images in a file, mapped rather than read where the format allows.

    Args:
        path: a file with the ending .npz, .npy, .pt or .pth.
        memory: bytes that an array may unpack to.

    Returns:
        The array, and notes on which of several was taken, each a sentence.

    Raises:
        UserError: if the file is missing, damaged, holds no such array, too large a one, or
            objects.
    """
    ending = path.suffix.lower()
    try:
        if ending == ".npz":
            return _npz(path, memory=memory)
        return _npy(path) if ending == ".npy" else _torch(path)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} {_OBJECTS}") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        raise _damaged(path, error) from error


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers as an array, without a copy where numpy knows their kind."""
    tensor = tensor.detach().cpu()
    found: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def _npy(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    try:
        with path.open("rb") as file:
            _announced(file)
        return np.load(path, mmap_mode="r", allow_pickle=False), ()
    except ValueError as error:
        raise _objects_or(path, error) from error


def _npz(path: Path, *, memory: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    with path.open("rb") as file:  # numpy leaves a damaged file open
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is no .npz file; give it the ending .npy")
        assert arrays.zip is not None
        chosen: tuple[str, NDArray[Any]] | None = None
        for key, name in zip(arrays.files, arrays.zip.namelist(), strict=True):
            with arrays.zip.open(name) as entry:
                shape, dtype, size = _announced(entry)
            if not _like_images(shape, numbers=dtype.kind in "fiub"):
                continue
            if size > memory:
                raise UserError(
                    f"{path} unpacks to {size / 2**20:,.0f} MiB; save the array as .npy, which is "
                    "not read whole, or give as much with --memory"
                )
            chosen = key, arrays[key]
            break
    if chosen is None:
        raise _none(path, dict.fromkeys(arrays.files))
    return chosen[1], _took(path, chosen[0], arrays.files)


def _announced(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and bytes that a .npy file says it holds, before any of them is read.

    Raises:
        ValueError: if it is none, or no array has such a shape.
    """
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
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    if isinstance(found, Tensor):
        return to_numpy(found), ()
    if not isinstance(found, Mapping):
        raise UserError(f"{path} holds a {type(found).__name__}; save one tensor of images")
    tensors = {
        str(key): value
        for key, value in found.items()
        if isinstance(value, Tensor) and _like_images(tuple(value.shape), numbers=True)
    }
    if not tensors:
        raise _none(path, found)
    if len(tensors) > 1:
        raise UserError(
            f"{path} holds several tensors that may be images ({', '.join(sorted(tensors))}); "
            "save one of them alone"
        )
    key, tensor = next(iter(tensors.items()))
    return to_numpy(tensor), _took(path, key, [str(key) for key in found])


def _like_images(shape: tuple[int, ...], *, numbers: bool) -> bool:
    return numbers and len(shape) in (3, 4)


def _took(path: Path, key: str, keys: list[str]) -> tuple[str, ...]:
    others = [other for other in keys if other != key]
    if not others:
        return ()
    return (f"Of the arrays in {path}, the images are {key}; passed over: {', '.join(others)}.",)


def _none(path: Path, found: Mapping[Any, Any]) -> UserError:
    keys = ", ".join(str(key) for key in found) or "nothing"
    return UserError(f"{path} holds no array of images with four axes (it holds {keys})")


def _objects_or(path: Path, error: ValueError) -> UserError:
    if any(word in str(error) for word in ("allow_pickle", "Object arrays", "Python objects")):
        return UserError(f"{path} {_OBJECTS}")
    return _damaged(path, error)


def _damaged(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} does not exist")
    if isinstance(error, PermissionError):
        return UserError(f"may not read {path}; change its permissions")
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(f"cannot read {path}: cut short, damaged or of another format ({first})")
