"""Rows of features in a .npy file: written as they come, whole or not at all; read back mapped."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganstoch.errors import UserError

__all__ = ["checksum", "open_rows", "through_temporary_file", "write_rows"]


def write_rows(path: Path, batches: Iterable[Tensor], *, rows: int, like: Tensor) -> None:
    """Writes rows to a file, a batch at a time.

    Plain writes and no mapping: on a full disk a mapped page kills the process.

    Args:
        path: the file; its folder is there.
        batches: shape (n, F) each, ``rows`` rows in all.
        rows: how many there will be.
        like: shape (..., F), of the same dtype.

    Raises:
        UserError: if the disk is full or fails. Whatever stops the writing, nothing is left behind.
        PermissionError: if the folder may not be written to.
    """
    dtype = like[:0].numpy().dtype
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (rows, like.shape[-1]),
    }
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            written = 0
            for batch in batches:
                written += len(batch)
                file.write(batch.contiguous().numpy().data)
            assert written == rows, (written, rows)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's 0600 would lock out the rest of a team
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write features to {path.parent}: {reason}; free space on its disk"
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def open_rows(path: Path, *, memory: int) -> Tensor:
    """The rows of a file: read, or mapped if they are larger than the memory allowed.

    Args:
        path: a file that `write_rows` has made.
        memory: bytes that they may take.
    """
    mapped = np.load(path, mmap_mode="c", allow_pickle=False)  # changes stay in memory
    return torch.from_numpy(mapped if mapped.nbytes > memory else np.array(mapped))


def through_temporary_file(batches: Iterable[Tensor], *, rows: int, like: Tensor) -> Tensor:
    """Rows mapped from a file that has no name any more, and is gone with the tensor.

    Args:
        batches: shape (n, F) each, ``rows`` rows in all.
        rows: how many there will be.
        like: shape (..., F), of the same dtype.

    Raises:
        UserError: if the disk is full or fails.
    """
    with tempfile.TemporaryDirectory(prefix="ganstoch-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "features.npy"
        write_rows(path, batches, rows=rows, like=like)
        found = open_rows(path, memory=0)
        with contextlib.suppress(PermissionError):  # where an open file cannot be removed
            path.unlink()
        return found


def checksum(path: Path) -> str:
    """sha256 of a file.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
