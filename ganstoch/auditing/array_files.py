"""Files that hold many images each, read as numbers only, never as a program."""

from __future__ import annotations

import pickle
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.errors import UserError

__all__ = ["load_array", "to_numpy"]

_OBJECTS = "holds Python objects, which are not run; save plain numbers"


def load_array(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The array of images in a file, mapped rather than read where the format allows.

    Args:
        path: a file with the ending .npz, .npy, .pt or .pth.

    Returns:
        The array, and notes on which of several was taken, each a sentence.

    Raises:
        UserError: if the file is missing, damaged, holds no such array, or holds objects.
    """
    readers = {".npz": _npz, ".npy": _npy}
    reader = readers.get(path.suffix.lower(), _torch)
    try:
        return reader(path)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} {_OBJECTS}") from error
    except MemoryError:
        raise
    except (OSError, ValueError, RuntimeError, EOFError, KeyError) as error:
        raise _damaged(path, error) from error
    except (zipfile.BadZipFile, zlib.error, SyntaxError, AttributeError, TypeError) as error:
        raise _damaged(path, error) from error


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers as an array, without a copy where numpy knows their kind."""
    tensor = tensor.detach().cpu()
    found: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def _npy(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False), ()
    except ValueError as error:
        raise _objects_or(path, error) from error


def _npz(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    with path.open("rb") as file:  # numpy leaves a damaged file open
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is no .npz file; give it the ending .npy")
        chosen: tuple[str, NDArray[Any]] | None = None
        for key in arrays.files:
            try:
                array = arrays[key]
            except ValueError as error:
                if "pickle" not in str(error):
                    raise
                continue  # an array of objects: not the images
            if _like_images(array.shape, numbers=array.dtype.kind in "fiub"):
                chosen = key, array
                break
    if chosen is None:
        raise _none(path, dict.fromkeys(arrays.files))
    return chosen[1], _took(path, chosen[0], arrays.files)


def _torch(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
        try:
            found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # written the old way, which cannot be mapped; or damaged
            found = torch.load(path, map_location="cpu", weights_only=True)
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
