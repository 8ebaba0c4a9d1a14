"""Distances between all pairs of two sets, a block at a time, each between two bounds.

A `Ruler` gives for every pair a number that the distance is surely not below and, a known slack
higher, one that it is surely not above. Only pairs that these leave undecided need the exact one.

Squared l2 by its expanded form: with u the unit roundoff and F numbers a row, |fl(x.y) - x.y| <=
F u ||x|| ||y|| up to terms in u^2 [1, Sec. 3.1], squared norms included; other operations add a few
u. As ||x|| ||y|| <= (||x||^2 + ||y||^2) / 2, the error is below 2 (F + 8) u (||x||^2 + ||y||^2).
Bounds take c = 4 (F + 16) u: some to spare for the rounding of the radius they are compared with.

[1] Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganstoch.metrics.neighbours.byte_search import (
    float64_blocks,
    is_grey,
    opencv,
    rounded,
)
from ganstoch.metrics.neighbours.coarse import multiplies_bytes
from ganstoch.types import Norm

_TINY = 1e-30  # more than float32 loses by underflow among rows of norm at most 1
_BYTE_TILE = 64
_SAMPLE = 1024  # rows at most whose mean is moved to 0
_KEPT_ELEMENTS = 2**26  # of a set that stays as its ruler needs it: 256 MiB of float32


class Loaded(NamedTuple):
    """A block of one set, as its ruler needs it."""

    values: Any  # rows (n, F), a tensor or, for bytes, an array
    base: Tensor  # what each row adds to the lower bound of its pairs, (n,)
    slack: Tensor  # its half of the gap between the bounds, float64, (n,)


class Ruler(ABC):
    """Bounds on distances, in units that rise with the distance."""

    @abstractmethod
    def load(self, rows: Tensor) -> Loaded:
        """Gets a block of rows ready."""

    @abstractmethod
    def low(self, left: Loaded, right: Loaded) -> Tensor:
        """Lower bounds of all pairs (n, m), floats or int32; for the caller to change."""

    @abstractmethod
    def units(self, distances: Tensor) -> Tensor:
        """Distances, float64, in the units of the bounds, float64."""


class LoadedBlocks:
    """Blocks of a set, loaded when they are asked for; kept unless the set is large."""

    def __init__(self, ruler: Ruler, rows: Tensor, blocks: list[slice]) -> None:
        self._ruler, self._rows, self._blocks = ruler, rows, blocks
        self._most = len(blocks) if is_kept(rows) else 1
        self._kept: dict[int, Loaded] = {}

    def __getitem__(self, b: int) -> Loaded:
        if b not in self._kept:
            if len(self._kept) == self._most:
                self._kept.clear()
            self._kept[b] = self._ruler.load(self._rows[self._blocks[b]])
        return self._kept[b]


def is_kept(rows: Tensor) -> bool:
    """Whether a set is small enough to stay in memory as its ruler needs it."""
    return rows.numel() <= _KEPT_ELEMENTS


class _Frame:
    """Where rows are moved so that products lose least: their mean near 0, all lengths below 1."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self.device = first.device if first.device.type == "cuda" else torch.device("cpu")
        sets = (first,) if first is second else (first, second)
        self._wide = torch.float64 in (first.dtype, second.dtype)
        some = first[:: -(-len(first) // _SAMPLE)]
        origin = some.sum(0, dtype=torch.float64).to(self.device) / len(some)
        self.origin = origin if self._wide else origin.float().double()
        longest = 0.0  # or somewhat more
        for rows in sets:
            low, high = (
                each.to(self.device, torch.float64) for each in (rows.amin(0), rows.amax(0))
            )
            longest = max(longest, torch.maximum(high - origin, origin - low).sum().item())
        if not math.isfinite(longest) or longest > 1e150:
            raise ValueError("values too large: distances overflow; rescale them")
        # A power of two, so that scaling rounds nothing; subnormal lengths need none.
        self.scale = 2.0 ** -math.frexp(longest)[1] if longest > 1e-150 else 1.0

    def moved(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        exact = torch.float64 if self._wide else dtype  # which rounds the difference, and only that
        values = torch.empty(rows.shape, dtype=dtype, device=self.device)
        for block in float64_blocks(rows):
            part = rows[block].to(self.device, exact)
            values[block] = (part - self.origin.to(exact)).mul_(self.scale)
        return values


class _Squares(Ruler):
    def __init__(self, frame: _Frame, dtype: torch.dtype) -> None:
        self._frame, self._dtype = frame, dtype
        self._c = 4 * (len(frame.origin) + 16) * torch.finfo(dtype).eps / 2

    def load(self, rows: Tensor) -> Loaded:
        values = self._frame.moved(rows, self._dtype)
        squares = torch.linalg.vector_norm(values, dim=1).double().square_()
        base = ((1 - self._c) * squares - _TINY).to(self._dtype)
        return Loaded(values, base, slack=2 * self._c * squares + 2 * _TINY)

    def low(self, left: Loaded, right: Loaded) -> Tensor:
        with torch.autocast(self._frame.device.type, enabled=False):
            products = torch.addmm(right.base[None], left.values, right.values.T, alpha=-2)
        return products.add_(left.base[:, None])

    def units(self, distances: Tensor) -> Tensor:
        return (distances * self._frame.scale).square_()


class _ByteSquares(Ruler):
    """Squared l2 of grey levels by products of bytes, exact."""

    def load(self, rows: Tensor) -> Loaded:
        values = rows.contiguous().bitwise_xor(128).view(torch.int8)  # less 128
        halves = [values[b].short() for b in float64_blocks(rows)]
        squares = [each.mul_(each).sum(1, dtype=torch.int32) for each in halves]
        # Half of a half: whole numbers stay apart, and roots that are squared again find theirs.
        return Loaded(values, torch.cat(squares), torch.full((len(rows),), 0.25).double())

    def low(self, left: Loaded, right: Loaded) -> Tensor:
        products = torch._int_mm(left.values, right.values.T)
        return torch.sub(right.base[None], products, alpha=2).add_(left.base[:, None])

    def units(self, distances: Tensor) -> Tensor:
        return distances.square().mul_(1 + 1e-14)


class _Sums(Ruler):
    """The l1 norm by sums: no product, no cancellation, but slow."""

    def __init__(self, frame: _Frame, dtype: torch.dtype) -> None:
        self._frame, self._dtype = frame, dtype
        self._c = 2 * (len(frame.origin) + 16) * torch.finfo(dtype).eps / 2

    def load(self, rows: Tensor) -> Loaded:
        values = self._frame.moved(rows, self._dtype)
        norms = torch.cat([values[b].double().abs().sum(1) for b in float64_blocks(values)])
        slack = 2 * self._c * norms + 2 * _TINY
        return Loaded(values, (-slack / 2).to(self._dtype), slack)

    def low(self, left: Loaded, right: Loaded) -> Tensor:
        sums = torch.cdist(left.values, right.values, p=1.0)
        return sums.add_(left.base[:, None]).add_(right.base[None])

    def units(self, distances: Tensor) -> Tensor:
        return distances * self._frame.scale


class _Bytes(Ruler):
    """The l1 norm of grey levels by sums over bytes, exact if the rows are bytes."""

    def __init__(self, width: int) -> None:
        # float32 holds integers up to 2^24, and subtracting from them loses at most an ulp.
        self._dtype = torch.float32 if 255 * width <= 2**24 else torch.float64
        self._loss = 255 * width * torch.finfo(self._dtype).eps

    def load(self, rows: Tensor) -> Loaded:
        values, error = rounded(rows)
        error = torch.where(error > 0, error + self._loss, 0.0)
        return Loaded(values, -error.to(self._dtype), slack=2 * error)

    def low(self, left: Loaded, right: Loaded) -> Tensor:
        cv2 = opencv()
        sums = np.empty((len(left.values), len(right.values)), np.int32)
        # OpenCV hands out the k nearest only; of tiles of k members, these are all.
        for start in range(0, sums.shape[1], _BYTE_TILE):
            tile = right.values[start : start + _BYTE_TILE]
            values, ids = cv2.batchDistance(
                left.values, tile, cv2.CV_32S, normType=cv2.NORM_L1, K=len(tile)
            )
            np.put_along_axis(sums[:, start : start + _BYTE_TILE], ids, values, 1)
        low = torch.from_numpy(sums).to(self._dtype)
        return low.add_(left.base[:, None]).add_(right.base[None])

    def units(self, distances: Tensor) -> Tensor:
        return distances.clone()


def rulers(first: Tensor, second: Tensor, *, norm: Norm) -> list[Ruler]:
    """Rulers for two sets of rows (N, F) and (M, F), from the fastest to the finest."""
    if norm not in ("l1", "l2"):
        raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}")
    on_cpu = first.device.type == second.device.type == "cpu"
    by_bytes = norm == "l1" and on_cpu and is_grey(first, second)
    if by_bytes and first.dtype == second.dtype == torch.uint8:
        return [_Bytes(first.shape[1])]
    are_bytes = on_cpu and first.dtype == second.dtype == torch.uint8
    if are_bytes and first.shape[1] < 2**15 and multiplies_bytes():
        return [_ByteSquares()]
    frame = _Frame(first, second)
    fine, rough = torch.float64, torch.float32
    if by_bytes:
        return [_Bytes(first.shape[1]), _Sums(frame, fine)]
    if norm == "l1":
        return [_Sums(frame, rough), _Sums(frame, fine)]
    if first.shape[1] > 2**17 or not _products_are_whole(frame.device):
        return [_Squares(frame, fine)]
    return [_Squares(frame, rough), _Squares(frame, fine)]


def _products_are_whole(device: torch.device) -> bool:
    """Whether float32 matrix products keep float32: a user may have asked for TF32 or bfloat16."""
    rows = torch.full((64, 64), 1 + 2.0**-20, device=device)
    with torch.autocast(device.type, enabled=False):
        return torch.equal(rows @ torch.eye(64, device=device), rows)
