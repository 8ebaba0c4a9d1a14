"""The fixed set of n images that a run trains on, and the images it must never see."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganstoch.data.source import ImageSet
from ganstoch.errors import UserError
from ganstoch.rng import rng_for, without_replacement

__all__ = ["Subset", "checksum", "choose", "leftover", "leftover_ids"]


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """n images, in memory.

    Attributes:
        pixels: uint8 images, shape (n, C, H, W), range [0, 255], or float32 points, shape (n, D).
        ids: their positions in the source's training split, ascending, int64, shape (n,).
        labels: their classes, int64, shape (n,); None where the source has none.
        seed: what chose them.
        sha256: `checksum` of the pixels.
        source: the split they were chosen from.
    """

    pixels: Tensor
    ids: Tensor
    labels: Tensor | None
    seed: int
    sha256: str
    source: ImageSet = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels; empty where there are none."""
        return self.source.classes

    def names(self, positions: Tensor) -> tuple[str, ...]:
        """What a person calls the images at these positions of the subset, int64 in [0, n)."""
        return self.source.names(self.ids[positions])


def checksum(pixels: Tensor) -> str:
    """Sha256 of images or points, of their type and shape, hexadecimal; uint8 or float32."""
    assert pixels.dtype in (torch.uint8, torch.float32), pixels.dtype
    kind = str(pixels.dtype).removeprefix("torch.")
    digest = hashlib.sha256(f"{kind} {tuple(pixels.shape)} ".encode())
    digest.update(pixels.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def choose(images: ImageSet, *, n: int, seed: int) -> Subset:
    """Draws n different images, the same for the same images, n and seed.

    Args:
        images: what to choose from.
        n: how many.
        seed: decides which; apart from the run's seed, so that runs can share a subset.

    Raises:
        UserError: if there are fewer than n images, or one cannot be read.
    """
    if not 1 <= n <= len(images):
        raise UserError(f"data.n is {n}, the source has {len(images)} images; set --data.n within")
    ids = without_replacement(len(images), n, rng_for(seed, "subset")).sort().values
    pixels = images.read(ids)
    labels = None if images.labels is None else images.labels[ids]
    return Subset(pixels, ids, labels, seed, checksum(pixels), images)


def leftover(images: ImageSet, *, used: Tensor, limit: int, seed: int) -> Tensor | None:
    """Draws images that training never sees.

    Args:
        images: a held-out split, or the one that the subset was chosen from.
        used: positions in ``images`` that the subset took, int64; empty for a held-out split.
        limit: how many to draw at most.
        seed: decides which.

    Returns:
        Shape (at most limit, ...), as the source has them and in its order; None if all are used.

    Raises:
        UserError: if one of them cannot be read.
    """
    ids = leftover_ids(images, used=used, limit=limit, seed=seed)
    return images.read(ids) if len(ids) else None


def leftover_ids(images: ImageSet, *, used: Tensor, limit: int, seed: int) -> Tensor:
    """Positions of the images that `leftover` draws, ascending, int64, shape (at most limit,).

    Args:
        images: as for `leftover`.
        used: idem.
        limit: idem.
        seed: idem.
    """
    free = torch.ones(len(images), dtype=torch.bool)
    free[used] = False
    ids = free.nonzero().squeeze(1)
    # Iteration 0 of the stream chose the subset.
    order = without_replacement(len(ids), min(limit, len(ids)), rng_for(seed, "subset", 1))
    return ids[order].sort().values
