"""The fixed set of n images that a run trains on, its manifest, and each batch's draw from it."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from ganstoch.data.cache import places, user_cache, write_if_allowed
from ganstoch.data.source import ImageSet
from ganstoch.errors import UserError
from ganstoch.records import FileModel, decode, read_json
from ganstoch.rng import rng_for, with_replacement, without_replacement

# How a batch is drawn. with_replacement: every image independently, as in the paper.
# permutation: shuffled epochs; where m does not divide n a batch takes the end of one epoch and the
# start of the next. exactly_once: every image in every iteration, in order; needs m = n.
Sampling = Literal["with_replacement", "permutation", "exactly_once"]
BatchSize = int | str  # m: a number, or a share of the subset such as n or n/4


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """n images, in memory."""

    pixels: Tensor  # uint8, shape (n, C, H, W), range [0, 255]; or points, float32, shape (n, D)
    ids: Tensor  # their positions in the source's training split, ascending, int64, shape (n,)
    labels: Tensor | None  # their classes, int64, shape (n,); None where the source has none
    seed: int  # what chose them
    sha256: str  # `checksum` of the pixels
    source: ImageSet = field(repr=False)  # the split they were chosen from

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels; empty where there are none."""
        return self.source.classes

    def names(self, positions: Tensor) -> tuple[str, ...]:
        """Names for people of the images at these positions of the subset, int64 in [0, n)."""
        return self.source.names(self.ids[positions])


def choose(images: ImageSet, *, n: int, seed: int) -> Subset:
    """Draws n different images; ``seed`` is not the run's, so that runs can share a subset."""
    if not 1 <= n <= len(images):
        raise UserError(f"data.n is {n}, the source has {len(images)} images; set --data.n within")
    ids = without_replacement(len(images), n, rng_for(seed, "subset")).sort().values
    pixels = images.read(ids)
    labels = None if images.labels is None else images.labels[ids]
    return Subset(pixels, ids, labels, seed, checksum(pixels), images)


def leftover_ids(images: ImageSet, *, used: Tensor, limit: int, seed: int) -> Tensor:
    """Draws images that are not ``used``: ascending positions, int64, shape (at most limit,)."""
    free = torch.ones(len(images), dtype=torch.bool)
    free[used] = False
    ids = free.nonzero().squeeze(1)
    # Iteration 0 of the stream chose the subset.
    order = without_replacement(len(ids), min(limit, len(ids)), rng_for(seed, "subset", 1))
    return ids[order].sort().values


def checksum(pixels: Tensor) -> str:
    """Sha256 of images or points, of their type and shape, hexadecimal; uint8 or float32."""
    assert pixels.dtype in (torch.uint8, torch.float32), pixels.dtype
    kind = str(pixels.dtype).removeprefix("torch.")
    digest = hashlib.sha256(f"{kind} {tuple(pixels.shape)} ".encode())
    digest.update(pixels.cpu().contiguous().numpy().data)
    return digest.hexdigest()


class Manifest(FileModel):
    """Identity of a subset: a file beside the data, written once and checked at every load."""

    source: str  # label of the source, e.g. cifar10
    split_size: int  # images in the source's training split
    n: int
    seed: int
    ids: tuple[int, ...]
    sha256: str
    version: Literal[1] = Field(default=1, alias="schema")

    @classmethod
    def of(cls, subset: Subset, *, source: str) -> Self:
        """The manifest of a subset; ``source`` is the source's label."""
        return cls(
            source=source,
            split_size=len(subset.source),
            n=len(subset),
            seed=subset.seed,
            ids=tuple(subset.ids.tolist()),
            sha256=subset.sha256,
        )

    def verify_or_write(self, root: Path) -> None:
        """Compares with the file below the root, or writes it if there is none yet and one may."""
        path = _beside(root, f"ganstoch-{self.source}-n{self.n}-seed{self.seed}.json")
        if path is None:
            return
        if not path.exists():
            write_if_allowed(path, self.model_dump_json(by_alias=True).encode() + b"\n")
            return
        fix = f"restore the data it was written for, or remove {path} to accept what is there now"
        written: Manifest = decode(Manifest, read_json(path, fix=fix), str(path), fix=fix)
        for key in ("source", "n", "seed", "split_size", "sha256", "ids"):
            before, now = getattr(written, key), getattr(self, key)
            if before != now:
                values = "" if key == "ids" else f" {before}, now {now}"
                raise UserError(
                    f"the images have changed: {path} was written for {key}{values}; {fix}"
                )


def _beside(root: Path, name: str) -> Path | None:
    """A file in a folder of data, or beside a file of them; else in the user's cache, if any."""
    if root.is_dir():
        return root / name
    if root.is_file():
        return root.with_name(f"{root.name}.{name}")
    *_, place = places(root)
    return None if user_cache() is None else place / name


def resolve_batch_size(m: BatchSize, *, n: int) -> int:
    """The batch size in images, in 1 .. n; a share such as ``n/4`` is rounded down."""
    if (divisor := _divisor(m)) is not None:
        return max(1, n // divisor)
    try:
        size = int(m)
    except ValueError:
        size = 0
    if not 1 <= size <= n:
        raise UserError(f"data.m is {m!r}; give a number from 1 to n = {n}, or a share such as n/4")
    return size


def is_rounded(m: BatchSize, *, n: int) -> bool:
    """Whether m is a share of n that is no whole number."""
    divisor = _divisor(m)
    return divisor is not None and n % divisor != 0


def _divisor(m: BatchSize) -> int | None:
    """4 of ``n/4``, 1 of ``n``; None if m is no share."""
    share = re.fullmatch(r"n(?:/([1-9]\d*))?", m.replace(" ", "")) if isinstance(m, str) else None
    return None if share is None else int(share[1] or 1)


def resolve_sampling(sampling: Sampling | None, *, m: int, n: int) -> Sampling:
    """The rule to draw by; by default no bootstrap at m = n, which would bring back chance."""
    if sampling is None:
        return "exactly_once" if m == n else "with_replacement"
    if sampling == "exactly_once" and m != n:
        raise UserError(f"data.sampling exactly_once needs m = n, not m = {m}; set --data.m n")
    return sampling


def draw_ids(
    rule: Sampling, *, count: int, m: int, seed: int, iteration: int, repeat: int = 0
) -> Tensor:
    """Positions, int64 (m,), of one iteration's images out of ``count``, for all ranks together."""
    part = f"repeat{repeat}" if repeat else ""
    if rule == "with_replacement":
        return with_replacement(count, m, rng_for(seed, "data", iteration, part=part))
    if rule == "exactly_once":
        assert m % count == 0, (m, count)
        return torch.arange(count).repeat(m // count)
    first, last = iteration * m, iteration * m + m  # in the endless sequence of epochs
    epochs = range(first // count, (last - 1) // count + 1)
    drawn = [
        without_replacement(count, count, rng_for(seed, "data", epoch, part=part))
        for epoch in epochs
    ]
    skipped = first - epochs.start * count
    return torch.cat(drawn)[skipped : skipped + m]
