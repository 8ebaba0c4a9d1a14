"""Features of a set of images, made once and kept on disk by the content of the images.

An entry is believed only if its checksum holds and a few images' features come out again as filed.
Where a set shares images with one on file, only the others go through the extractor.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
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
    digests = b"".join(images.content.digests).hex()
    facts = {"images": sha256, "extractor": extractor.name, "shape": list(images.shape)}
    facts |= {"digests": digests, "of_digests": _short(digests)}
    with locked(path.with_suffix(""), doing=f"finish {extractor.name}"):
        features = _load(path, rows=rows, memory=memory, like=like)
        if features is None:
            batches = _batches(images, extractor, known=_known(images, extractor, cache, like))
            save_array(path, batches, rows=rows, like=like, facts=facts)
            features = _load(path, rows=rows, memory=memory, like=like)
        if features is None:
            fix = "take an extractor whose features depend on the images alone"
            raise UserError(f"{extractor.name} makes other features of {images.where} again; {fix}")
        return features


@dataclass(frozen=True, eq=False)
class _Known:
    """Features on file of some of the images."""

    rows: Tensor  # of another set, mapped, (N, F)
    places: Tensor  # of each image in it, -1 for none, int64, (M,)


def _known(images: Images, extractor: Extractor, cache: Path, like: Tensor) -> _Known | None:
    """The set on file that shares most images with these, if it is what would be made now."""
    digests = images.content.digests
    best, most = None, torch.full((len(digests),), -1)
    for about in sorted(cache.glob("*.json")):
        try:
            facts = json.loads(about.read_bytes())
            named = facts["extractor"], facts["shape"], facts["of_digests"]
            hexes = str(facts["digests"])
            others = bytes.fromhex(hexes)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if named != (extractor.name, list(images.shape), _short(hexes)):
            continue
        place = {others[16 * i : 16 * i + 16]: i for i in range(len(others) // 16)}
        places = torch.tensor([place.get(digest, -1) for digest in digests])
        if int((places >= 0).sum()) > int((most >= 0).sum()):
            best, most = (about.with_suffix(".npy"), len(place)), places
    if best is None or (entry := load_array(best[0], memory=0)) is None:
        return None
    rows, shared = entry[0], (most >= 0).nonzero()[:, 0]
    if rows.ndim != 2 or len(rows) <= int(most.max()):
        return None
    if rows.shape[1] != like.shape[1] or rows.dtype != like.dtype:
        return None
    some = shared[_witness_ids(len(shared))]
    made = extractor(images.read(some)).cpu()
    return _Known(rows, most) if _agree(rows[most[some]], made) else None


def _short(hexes: str) -> str:
    return hashlib.sha256(hexes.encode()).hexdigest()[:32]


def _load(path: Path, *, rows: int, memory: int, like: Tensor) -> Tensor | None:
    """Features on file, if they are what would be made now."""
    if (entry := load_array(path, memory=memory)) is None:
        return None
    features = entry[0]
    if features.shape != (rows, like.shape[1]) or features.dtype != like.dtype:
        return None
    return features if _agree(features[_witness_ids(rows)], like) else None


def _agree(filed: Tensor, made: Tensor) -> bool:
    gap = filed.double() - made.double()
    return bool(gap.abs().max() <= _AGREEMENT * made.double().abs().max())


def _witness_ids(count: int) -> Tensor:
    return torch.linspace(0, count - 1, _WITNESSES).long()


def _batches(
    images: Images, extractor: Extractor, *, known: _Known | None = None
) -> Iterator[Tensor]:
    """Features of all images in their order, 64 images at a time."""
    every = torch.arange(len(images))
    places = torch.full_like(every, -1) if known is None else known.places
    made = _made(images, extractor, every[places < 0])
    waiting: list[Tensor] = []
    for of in torch.split(places, _BATCH):
        missing = of < 0
        while sum(map(len, waiting)) < int(missing.sum()):
            waiting.append(next(made))
        if known is None:
            yield waiting.pop()
            continue
        new = torch.cat([known.rows[:0], *waiting])
        rows = known.rows[of.clamp(min=0)]
        rows[missing] = new[: int(missing.sum())]
        waiting = [new[int(missing.sum()) :]]
        yield rows


def _made(images: Images, extractor: Extractor, every: Tensor) -> Iterator[Tensor]:
    label = f"{extractor.name} of {images.where}"
    for ids in progress_bar(torch.split(every, _BATCH), label):
        filled = torch.cat([ids, ids[-1:].expand(_BATCH - len(ids))])
        yield extractor(images.read(filled))[: len(ids)].cpu()
