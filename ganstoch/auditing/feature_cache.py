"""Features of a set of images, made once and kept on disk by the content of the images.

An entry is believed only if its checksum holds and a few images' features come out again as filed.
"""

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ganstoch.auditing.inputs import Embeddings, Images
from ganstoch.data.cache import is_read_only, load_array, locked, save_array
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.metrics.progress import progress_bar

# Images that go through an extractor at once. Always as many, the last batch filled up: networks
# round differently in batches of different sizes, and copies must stay at distance 0.
_BATCH = 64
_WITNESSES = 4  # images whose features are made anew, to see whether those on file are still right
_AGREEMENT = 1e-2  # of the largest: devices round, other weights differ by far more


def features_of(images: Images, extractor: Extractor, *, cache: Path | None, memory: int) -> Tensor:
    """Features of all images, on the CPU, kept in ``cache``, if any, but for pixels that fit.

    More bytes than ``memory`` are mapped from a file.
    """
    witnesses = extractor(images.read(_witness_ids(len(images)))).cpu()
    if not witnesses.isfinite().all():
        raise UserError(f"{extractor.name} makes NaN or infinite features of {images.where}")
    fits = len(images) * witnesses.shape[1] * witnesses.element_size() <= memory
    if cache is not None and not (fits and isinstance(extractor, Pixels | Embeddings)):
        try:
            return _cached(images, extractor, cache=cache, memory=memory, like=witnesses)
        except UserError as error:
            if not is_read_only(error):
                raise
            print(f"features are not kept: may not write to {cache}", file=sys.stderr)
    if fits:
        rows = torch.empty(len(images), witnesses.shape[1], dtype=witnesses.dtype)
        batches = _batches(images, extractor)
        for batch, place in zip(batches, torch.split(rows, _BATCH), strict=True):
            place.copy_(batch)
        return rows
    # Mapped from a file that has no name any more, and is gone with the tensor.
    with tempfile.TemporaryDirectory(prefix="ganstoch-", ignore_cleanup_errors=True) as folder:
        return _cached(images, extractor, cache=Path(folder), memory=memory, like=witnesses)


def _cached(
    images: Images, extractor: Extractor, *, cache: Path, memory: int, like: Tensor
) -> Tensor:
    rows, sha256 = len(images), images.content.sha256
    key = f"1/{sha256}/{rows}/{images.shape}/{extractor.name}"
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
    facts = {"images": sha256, "extractor": extractor.name}
    with locked(path.with_suffix(""), doing=f"finish {extractor.name}"):
        features = _load(path, rows=rows, memory=memory, like=like)
        if features is None:
            save_array(path, _batches(images, extractor), rows=rows, like=like, facts=facts)
            features = _load(path, rows=rows, memory=memory, like=like)
        if features is None:
            fix = "take an extractor whose features depend on the images alone"
            raise UserError(f"{extractor.name} makes other features of {images.where} again; {fix}")
        return features


def _load(path: Path, *, rows: int, memory: int, like: Tensor) -> Tensor | None:
    """Features on file, if they are what would be made now."""
    if (entry := load_array(path, memory=memory)) is None:
        return None
    features = entry[0]
    if features.shape != (rows, like.shape[1]) or features.dtype != like.dtype:
        return None
    gap = features[_witness_ids(rows)].double() - like.double()
    return features if gap.abs().max() <= _AGREEMENT * like.double().abs().max() else None


def _witness_ids(count: int) -> Tensor:
    return torch.linspace(0, count - 1, _WITNESSES).long()


def _batches(images: Images, extractor: Extractor) -> Iterator[Tensor]:
    label = f"{extractor.name} of {images.where}"
    for ids in progress_bar(torch.split(torch.arange(len(images)), _BATCH), label):
        filled = torch.cat([ids, ids[-1:].expand(_BATCH - len(ids))])
        yield extractor(images.read(filled))[: len(ids)].cpu()
