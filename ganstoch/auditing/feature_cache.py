"""Features of a set of images, made once: kept on disk by the content of the images.

A network takes hours over what a disk gives back in seconds. An entry is an array (.npy) and what
vouches for it (.json), found by the sha256 of the pixels and the extractor's name. It is believed
only if its checksum holds and the features of a few images come out again as they are on file: the
same name may stand for other weights.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganstoch.auditing.feature_files import (
    checksum,
    open_rows,
    through_temporary_file,
    write_rows,
)
from ganstoch.auditing.images import Images
from ganstoch.auditing.progress import image_bar
from ganstoch.data.preparing import alone
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.records import write_atomically

__all__ = ["default_cache", "features_of"]

_SCHEMA = 1
_BATCH = 64
"""Images that go through an extractor at once. Always as many, the last batch filled up: networks
round differently in batches of different sizes, and copies must stay at distance 0 wherever they
stand."""
_WITNESSES = 4
"""Images whose features are made anew to see whether those on file are still what would be made."""
_AGREEMENT = 1e-2
"""How far those may differ, as a part of the largest: devices round, other weights do far worse."""

_NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
"""Errors of a folder that this user may not write to, or that is none."""


def default_cache() -> Path | None:
    """The folder of kept features in the user's own cache; None for a user without a home."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a container's nameless user
        return None
    return Path(home) / "ganstoch" / "features"


def features_of(images: Images, extractor: Extractor, *, cache: Path | None, memory: int) -> Tensor:
    """Features of all images, in their order.

    Read and extracted in batches. What does not fit the memory allowed is written to a file and
    mapped, so that only what is looked at is read back. Several processes that want the same
    features make them once: the others wait for the first.

    Args:
        images: what to take features of.
        extractor: makes them.
        cache: folder to keep them in, made if it is missing; None to keep nothing. Pixels that fit
            the memory are not kept: their images are as soon read again. A folder that may not be
            written to is done without, and standard error says so.
        memory: bytes that these features may take.

    Returns:
        Shape (N, F), in the extractor's dtype, on the CPU. Where larger than ``memory``, mapped
        from a file, which writing to the tensor does not change; without a cache that is a
        temporary one, gone with the tensor.

    Raises:
        UserError: if an image cannot be read, or a disk is full.
    """
    spread = torch.linspace(0, len(images) - 1, _WITNESSES).long()
    witnesses = extractor(images.read(spread)).cpu()
    row_bytes = witnesses.shape[1] * witnesses.element_size()
    fits = len(images) * row_bytes <= memory
    if cache is not None and not (fits and isinstance(extractor, Pixels)):
        try:
            return _kept(images, extractor, cache=cache, memory=memory, like=witnesses)
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise UserError(f"cannot keep features in {cache}: {error.strerror}") from error
            print(f"features are not kept: may not write to {cache}", file=sys.stderr)
    batches = _batches(images, extractor)
    if not fits:
        return through_temporary_file(batches, rows=len(images), like=witnesses)
    rows = torch.empty(len(images), witnesses.shape[1], dtype=witnesses.dtype)
    for batch, place in zip(batches, torch.split(rows, _BATCH), strict=True):
        place.copy_(batch)
    return rows


def _kept(
    images: Images, extractor: Extractor, *, cache: Path, memory: int, like: Tensor
) -> Tensor:
    """Features from the cache, put there first if they are not."""
    key = f"{_SCHEMA}/{images.sha256()}/{len(images)}/{images.shape}/{extractor.name}"
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
    cache.mkdir(parents=True, exist_ok=True)
    with alone(path.with_suffix(""), doing=f"finish {extractor.name}"):
        if not _sound(path, rows=len(images), like=like):
            write_rows(path, _batches(images, extractor), rows=len(images), like=like)
            about = {
                "schema": _SCHEMA,
                "sha256": checksum(path),
                "images": images.sha256(),
                "extractor": extractor.name,
            }
            # Last: a process killed before leaves an array that nothing vouches for.
            write_atomically(path.with_suffix(".json"), json.dumps(about, indent=1).encode())
        return open_rows(path, memory=memory)


def _sound(path: Path, *, rows: int, like: Tensor) -> bool:
    """Whether a file holds what was written to it, and what would be written now."""
    try:
        about = json.loads(path.with_suffix(".json").read_bytes())
        if not isinstance(about, dict) or about.get("sha256") != checksum(path):
            return False
        kept = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, RecursionError, EOFError):
        return False
    if kept.shape != (rows, like.shape[1]) or kept.dtype != like[:0].numpy().dtype:
        return False
    spread = torch.linspace(0, rows - 1, _WITNESSES).long()
    gap = torch.from_numpy(kept[spread.numpy()]).double() - like.double()
    return bool(gap.abs().max() <= _AGREEMENT * like.double().abs().max())


def _batches(images: Images, extractor: Extractor) -> Iterator[Tensor]:
    """Features (n, F) of the images, in order, on the CPU."""
    with image_bar(len(images), f"{extractor.name} of {images.where}") as progress:
        for ids in torch.split(torch.arange(len(images)), _BATCH):
            filled = torch.cat([ids, ids[-1:].expand(_BATCH - len(ids))])
            yield extractor(images.read(filled))[: len(ids)].cpu()
            progress.update(len(ids))
