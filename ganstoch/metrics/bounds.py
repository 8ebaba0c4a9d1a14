"""Distances between all pairs of two sets, a block at a time, each between two bounds.

What processors are fast at is not exact: float32 products lose the digits of small distances, bytes
forget fractions. But how much is lost has a bound, so a `Ruler` gives for every pair a number that
the distance is surely not below and, a known slack higher, one that it is surely not above. Who
asks which pairs lie within a radius needs the exact distance of the few in between only.

Squared l2 by its expanded form: with u the unit roundoff, F numbers a row and any order of
summation, |fl(x.y) - x.y| <= F u ||x|| ||y|| up to terms in u^2 [1, Sec. 3.1]; storing the rows,
the norms and three more operations add a few u. As ||x|| ||y|| <= (||x||^2 + ||y||^2) / 2, the
error is below c (||x||^2 + ||y||^2), c = 4 (F + 16) u, with some to spare for the rounding of the
radius that it is compared with.

[1] Higham 2002, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganstoch.metrics.byte_search import fits_bytes, load_opencv, rounded
from ganstoch.types import Norm

__all__ = ["Loaded", "Ruler", "as_rows", "exact_distances", "row_blocks", "rulers"]

_EXACT_ELEMENTS = 2**22
"""Numbers in one float64 block: 32 MiB."""
_BLOCK_ELEMENTS = 2**24
"""Numbers in one block of rows: 64 MiB of float32."""
_TINY = 1e-30
"""More than float32 loses by underflow among rows of norm at most 1."""
_BYTE_TILE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A block of one set, as its ruler wants it.

    Attributes:
        values: rows (n, F), a tensor or, for bytes, an array.
        base: what each row adds to the lower bound of its pairs, shape (n,).
        slack: its half of the gap between the bounds, float64, shape (n,): the distance of a pair
            is at most low + slack of the one + slack of the other.
    """

    values: Any
    base: Tensor
    slack: Tensor


class Ruler(ABC):
    """Bounds on distances, in units that rise with the distance."""

    @abstractmethod
    def load(self, rows: Tensor) -> Loaded:
        """Gets a block of rows (n, F) ready."""

    @abstractmethod
    def low(self, left: Loaded, right: Loaded) -> Tensor:
        """Lower bounds of all pairs, shape (n, m), float32 or float64; for the caller to change."""

    @abstractmethod
    def units(self, distances: Tensor) -> Tensor:
        """Distances, float64, in the units of the bounds, float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where rows are moved so that products lose least: the mean to 0, the longest row below 1."""

    origin: Tensor
    scale: float
    device: torch.device

    def moved(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        values = torch.empty(rows.shape, dtype=dtype, device=self.device)
        step = max(1, _EXACT_ELEMENTS // rows.shape[1])
        for start in range(0, len(rows), step):
            part = rows[start : start + step].to(self.device, torch.float64)
            values[start : start + step] = (part - self.origin).mul_(self.scale)
        return values


def _frame(first: Tensor, second: Tensor) -> _Frame:
    device = first.device if first.device.type == "cuda" else torch.device("cpu")
    step = max(1, _EXACT_ELEMENTS // first.shape[1])
    origin = torch.zeros(first.shape[1], dtype=torch.float64, device=device)
    for some in torch.split(first, step):
        origin += some.to(device, torch.float64).sum(0)
    origin /= len(first)
    longest = 0.0
    for rows in (first,) if first is second else (first, second):
        for some in torch.split(rows, step):
            norms = (some.to(device, torch.float64) - origin).abs_().sum(1)
            longest = max(longest, norms.max().item())
    if not math.isfinite(longest) or longest > 1e150:
        raise ValueError("values too large: distances overflow; rescale them")
    # A power of two, so that scaling rounds nothing; subnormal lengths need none.
    scale = 2.0 ** -math.frexp(longest)[1] if longest > 1e-150 else 1.0
    return _Frame(origin=origin, scale=scale, device=device)


class _Squares(Ruler):
    """Squared l2 by matrix products."""

    def __init__(self, frame: _Frame, dtype: torch.dtype) -> None:
        self._frame, self._dtype = frame, dtype
        self._c = 4 * (len(frame.origin) + 16) * torch.finfo(dtype).eps / 2

    def load(self, rows: Tensor) -> Loaded:
        values = self._frame.moved(rows, self._dtype)
        step = max(1, _EXACT_ELEMENTS // rows.shape[1])
        squares = torch.cat([v.double().square().sum(1) for v in torch.split(values, step)])
        base = ((1 - self._c) * squares - _TINY).to(self._dtype)
        return Loaded(values=values, base=base, slack=2 * self._c * squares + 2 * _TINY)

    def low(self, left: Loaded, right: Loaded) -> Tensor:
        with torch.autocast(self._frame.device.type, enabled=False):
            products = torch.addmm(right.base[None], left.values, right.values.T, alpha=-2)
        return products.add_(left.base[:, None])

    def units(self, distances: Tensor) -> Tensor:
        return (distances * self._frame.scale).square_()


class _Sums(Ruler):
    """The l1 norm by float32 sums: no product, no cancellation, but slow."""

    def __init__(self, frame: _Frame) -> None:
        self._frame = frame
        self._c = 2 * (len(frame.origin) + 16) * torch.finfo(torch.float32).eps / 2

    def load(self, rows: Tensor) -> Loaded:
        values = self._frame.moved(rows, torch.float32)
        step = max(1, _EXACT_ELEMENTS // rows.shape[1])
        norms = torch.cat([v.double().abs().sum(1) for v in torch.split(values, step)])
        slack = 2 * self._c * norms + 2 * _TINY
        return Loaded(values=values, base=(-slack / 2).float(), slack=slack)

    def low(self, left: Loaded, right: Loaded) -> Tensor:
        sums = torch.cdist(left.values, right.values, p=1.0)
        return sums.add_(left.base[:, None]).add_(right.base[None])

    def units(self, distances: Tensor) -> Tensor:
        return distances * self._frame.scale


class _Bytes(Ruler):
    """The l1 norm of grey levels by sums over bytes, exact if the rows are bytes."""

    def __init__(self, width: int, opencv: ModuleType) -> None:
        self._cv2 = opencv
        # float32 holds integers up to 2^24, and subtracting from them loses at most an ulp.
        self._dtype = torch.float32 if 255 * width <= 2**24 else torch.float64
        self._loss = 255 * width * torch.finfo(self._dtype).eps

    def load(self, rows: Tensor) -> Loaded:
        values, error = rounded(rows)
        error = torch.where(error > 0, error + self._loss, 0.0)
        return Loaded(values=values, base=-error.to(self._dtype), slack=2 * error)

    def low(self, left: Loaded, right: Loaded) -> Tensor:
        sums = np.empty((len(left.values), len(right.values)), np.int32)
        # OpenCV hands out the k nearest only; of tiles of k members, these are all.
        for start in range(0, sums.shape[1], _BYTE_TILE):
            tile = right.values[start : start + _BYTE_TILE]
            found, ids = self._cv2.batchDistance(
                left.values, tile, self._cv2.CV_32S, normType=self._cv2.NORM_L1, K=len(tile)
            )
            np.put_along_axis(sums[:, start : start + _BYTE_TILE], ids, found, 1)
        low = torch.from_numpy(sums).to(self._dtype)
        return low.add_(left.base[:, None]).add_(right.base[None])

    def units(self, distances: Tensor) -> Tensor:
        return distances.clone()


def rulers(first: Tensor, second: Tensor, *, norm: Norm) -> list[Ruler]:
    """Rulers for two sets of rows (N, F) and (M, F), from the fastest to the finest.

    Raises:
        ValueError: if values are too large.
    """
    if norm not in ("l1", "l2"):
        raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}")
    if norm == "l1":
        opencv = load_opencv() if first.device.type == "cpu" else None
        if opencv is not None and all(map(fits_bytes, (first, second))):
            return [_Bytes(first.shape[1], opencv)]
        return [_Sums(_frame(first, second))]
    frame = _frame(first, second)
    fine = _Squares(frame, torch.float64)
    if first.shape[1] > 2**17 or not _products_are_whole(frame.device):
        return [fine]
    return [_Squares(frame, torch.float32), fine]


def _products_are_whole(device: torch.device) -> bool:
    """Whether float32 matrix products keep float32: a user may have asked for TF32 or bfloat16."""
    rows = torch.full((64, 64), 1 + 2.0**-20, device=device)
    with torch.autocast(device.type, enabled=False):
        return torch.equal(rows @ torch.eye(64, device=device), rows)


def as_rows(values: Tensor, *, name: str) -> Tensor:
    """The values as (N, F), or a ValueError that says what is wrong with them."""
    if values.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise ValueError(f"{name} must be uint8, float32 or float64, got {values.dtype}")
    if values.ndim < 2:
        raise ValueError(f"{name} must have shape (N, F...), got {tuple(values.shape)}")
    if values.numel() == 0:
        raise ValueError(f"{name} is empty: shape {tuple(values.shape)}")
    rows = values.detach().flatten(1)
    if rows.is_floating_point():
        low, high = torch.aminmax(rows)  # NaN passes through both, and no mask is allocated
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise ValueError(f"{name} contains NaN or infinite values")
    return rows


def row_blocks(rows: Tensor, most: int) -> list[slice]:
    """Consecutive blocks of at most so many rows (N, F), fewer where rows are very long."""
    step = max(1, min(most, _BLOCK_ELEMENTS // rows.shape[1]))
    return [slice(i, min(i + step, len(rows))) for i in range(0, len(rows), step)]


def exact_distances(
    query: Tensor, bank: Tensor, asking: Tensor, answering: Tensor, *, norm: Norm
) -> Tensor:
    """Distances of pairs of rows in float64, the same number whenever the same two rows are met.

    Args:
        query: rows (Q, F).
        bank: rows (B, F).
        asking: ids of rows of the query, int64, shape (P,).
        answering: ids of rows of the bank, int64, shape (P,).
        norm: "l1" or "l2".

    Returns:
        Shape (P,), float64, on the CPU.
    """
    distances = torch.empty(len(asking), dtype=torch.float64)
    step = max(2, _EXACT_ELEMENTS // query.shape[1])
    for start in range(0, len(asking), step):
        rows, members = asking[start : start + step], answering[start : start + step]
        if len(rows) == 1:  # torch sums a single long row in another order than one of several
            rows, members = rows.expand(2), members.expand(2)
        gap = query[rows.to(query.device)].to("cpu", torch.float64)
        gap.sub_(bank[members.to(bank.device)].to("cpu", torch.float64))
        sums = gap.abs_().sum(1) if norm == "l1" else gap.square_().sum(1).sqrt_()
        distances[start : start + step] = sums[: len(distances) - start]
    return distances
