"""Cache on disk: arrays made once (.npy), verified at every load by a sidecar (.json)."""

import errno
import glob
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.records import write_atomically

_SCHEMA = 1
_PATIENCE = 1.0  # seconds to wait for another process before saying so
# Errors of a place that this user may not write to, or that is no folder.
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def user_cache() -> Path | None:
    """``$XDG_CACHE_HOME/ganstoch`` or ``~/.cache/ganstoch``; None for a user without a home."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a container's nameless user
        return None
    return Path(home) / "ganstoch"


def places(root: Path) -> tuple[Path, ...]:
    """Where a cache for a root may lie: below it, or in the user's own cache."""
    home = user_cache()
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return (root / "ganstoch-cache", *([] if home is None else [home / digest]))


def load_array(path: Path, *, memory: int | None = None) -> tuple[Tensor, dict[str, Any]] | None:
    """A cached array, mapped beyond ``memory`` bytes, and its facts; None if missing or damaged."""
    try:
        facts = json.loads(path.with_suffix(".json").read_bytes())
        if not isinstance(facts, dict) or facts.get("schema") != _SCHEMA:
            return None
        with path.open("rb") as file:
            if facts.get("sha256") != hashlib.file_digest(file, "sha256").hexdigest():
                return None
        mapped = np.load(path, mmap_mode="c", allow_pickle=False)  # changes stay in memory
    except (OSError, ValueError, RecursionError, EOFError):
        return None
    is_large = memory is not None and mapped.nbytes > memory
    return torch.from_numpy(mapped if is_large else np.array(mapped)), facts


def save_array(
    path: Path,
    batches: Iterable[Tensor],
    *,
    rows: int,
    like: Tensor,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes batches of ``rows`` rows in all, shaped ``like`` this, to the cache; all or nothing.

    Plain writes: on a full disk a mapped page kills the process.
    """
    digest, head = hashlib.sha256(), io.BytesIO()
    kind = np.lib.format.dtype_to_descr(like[:0].numpy().dtype)
    header = {"descr": kind, "fortran_order": False, "shape": (rows, *like.shape[1:])}
    np.lib.format.write_array_header_1_0(head, header)

    def chunks() -> Iterator[bytes | memoryview]:
        digest.update(head.getvalue())
        yield head.getvalue()
        written = 0
        for batch in batches:
            written += len(batch)
            content = batch.contiguous().numpy().data
            digest.update(content)
            yield content
        assert written == rows, (written, rows)

    write_atomically(path, chunks())
    about = {"schema": _SCHEMA, "sha256": digest.hexdigest(), **(facts or {})}
    # The sidecar last: a process killed before leaves an array that is not believed.
    write_atomically(path.with_suffix(".json"), json.dumps(about).encode())


def write_if_allowed(path: Path, content: bytes) -> bool:
    """Writes a file unless its folder is read-only to this user; says whether it did."""
    try:
        write_atomically(path, content)
    except UserError as error:
        if not is_read_only(error):
            raise
        return False
    return True


def is_read_only(error: UserError) -> bool:
    """Whether a file could not be written because its folder is read-only to this user."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _READ_ONLY


@contextmanager
def locked(target: Path, *, doing: str, otherwise: tuple[Path, ...] = ()) -> Iterator[None]:
    """One process at a time in the block; ``doing`` says what the other one is at.

    The lock is a file beside the target, or ``otherwise`` if that is read-only, or there is none.
    """
    for place in (target, *otherwise):
        lock = FileLock(place.with_name(f".{place.name}.lock"))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=_PATIENCE)
            except Timeout:
                print(f"waiting for another process to {doing}", file=sys.stderr)
                lock.acquire()
            break
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
    else:
        yield
        return
    try:
        for stale in place.parent.glob(f".{glob.escape(place.name)}.?*"):
            if stale.suffix != ".lock":
                stale.unlink(missing_ok=True)
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # whoever waits notices, and locks a new file
        lock.release()
