"""Sets of rows: checked, cut into blocks, compared exactly, and searched for duplicates."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from ganstoch.types import Norm

__all__ = [
    "as_rows",
    "exact_distances",
    "first_equal",
    "first_of_each",
    "row_blocks",
    "same_width",
    "times_each",
]

_EXACT_ELEMENTS = 2**22
"""Numbers in one float64 block: 32 MiB."""
_BLOCK_ELEMENTS = 2**24
"""Numbers in one block of rows: 64 MiB of float32."""


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


def same_width(norm: Norm, **sets: Tensor) -> None:
    """Refuses an unknown norm, and two sets of rows of different lengths."""
    if norm not in ("l1", "l2"):
        raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}")
    (one, first), (other, second) = sets.items()
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{one} has {first.shape[1]} features a row, {other} has {second.shape[1]}"
        )


def row_blocks(rows: Tensor, most: int) -> list[slice]:
    """Consecutive blocks of at most so many rows (N, F), fewer where rows are very long."""
    step = max(1, min(most, _BLOCK_ELEMENTS // rows.shape[1]))
    return [slice(i, min(i + step, len(rows))) for i in range(0, len(rows), step)]


def exact_distances(
    query: Tensor, bank: Tensor, query_ids: Tensor, bank_ids: Tensor, *, norm: Norm
) -> Tensor:
    """Distances of pairs of rows in float64, the same number whenever the same two rows are met.

    Args:
        query: rows (Q, F).
        bank: rows (B, F).
        query_ids: one row of each pair, int64, shape (P,).
        bank_ids: the other, int64, shape (P,).
        norm: "l1" or "l2".

    Returns:
        Shape (P,), float64, on the CPU.
    """
    distances = torch.empty(len(query_ids), dtype=torch.float64)
    step = max(2, _EXACT_ELEMENTS // query.shape[1])
    for start in range(0, len(query_ids), step):
        rows, members = query_ids[start : start + step], bank_ids[start : start + step]
        if len(rows) == 1:  # torch sums a single long row in another order than one of several
            rows, members = rows.expand(2), members.expand(2)
        gap = query[rows.to(query.device)].to("cpu", torch.float64)
        gap.sub_(bank[members.to(bank.device)].to("cpu", torch.float64))
        sums = gap.abs_().sum(1) if norm == "l1" else gap.square_().sum(1).sqrt_()
        distances[start : start + step] = sums[: len(distances) - start]
    return distances


def first_equal(rows: Tensor) -> Tensor:
    """For each row the id of the first row that equals it bit for bit, int64, shape (N,)."""
    seen: dict[bytes, int] = {}
    first = []
    for block in row_blocks(rows, len(rows)):
        for i, row in enumerate(rows[block].cpu().contiguous().numpy(), block.start):
            first.append(seen.setdefault(hashlib.blake2b(row.data, digest_size=16).digest(), i))
    return torch.tensor(first, dtype=torch.int64)


def first_of_each(rows: Tensor) -> Tensor:
    """Ids of the rows that equal no earlier row bit for bit, ascending, int64."""
    return torch.tensor(sorted(set(first_equal(rows).tolist())), dtype=torch.int64)


def times_each(first: Tensor) -> int:
    """How often every row occurs, or a multiple of it: 2 for a set that was given twice.

    Args:
        first: for each row the first that equals it (`first_equal`), int64, shape (N,).
    """
    counts = torch.bincount(first)
    return math.gcd(*counts[counts > 0].tolist())
