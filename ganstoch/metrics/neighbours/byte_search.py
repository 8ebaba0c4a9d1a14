"""Rows of numbers: checked, compared exactly in float64, and searched by l1 on their bytes.

A sum of absolute differences of bytes is what processors have an instruction for, many at a time.
Generated images are no integers, but rounding moves a distance by no more than the rounding errors
of the two images add up to, so that only members within that of the best need be looked at again.

A quarter of the work is enough where images are smooth. By the triangle inequality, with S any
square of four pixels,

    sum over p in S of |q_p - b_p|  >=  |sum over p in S of q_p  -  sum over p in S of b_p|,

so images at half the side tell from below how far two images are apart; only the members that may
by that be the nearest are compared in full.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Neighbours, Norm

__all__ = [
    "as_rows",
    "exact_distances",
    "first_equal",
    "first_of_each",
    "fits_bytes",
    "load_opencv",
    "rounded",
    "row_blocks",
    "same_width",
    "search_bytes",
    "times_each",
]

_CANDIDATES = 16
_SHORTLIST = 128
"""Members that half-sized images propose, of which the nearest is nearly always one."""
_TILE_BYTES = 3 * 2**19
"""Of the bank at once: what stays in a core's cache while all queries pass."""
_MASK_BYTES = 2**24
"""Which members each query is compared with in full, a block of queries at a time."""
_BLOCK = 4096
"""Queries at a time."""
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

    Pairs (P,) are given by ids, of rows (Q, F) and (B, F).
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
    """How often every row occurs, or a multiple, by `first_equal`; 2 for a set given twice."""
    counts = torch.bincount(first)
    return math.gcd(*counts[counts > 0].tolist())


def load_opencv() -> ModuleType | None:
    """OpenCV, whose `batchDistance` uses those instructions, or None where it is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(torch.get_num_threads())
    return cv2


def fits_bytes(rows: Tensor) -> bool:
    """Whether rows (N, F) are grey levels in [0, 255], few enough to be summed in 32 bits."""
    if rows.shape[1] > 2**23:
        return False
    if rows.dtype == torch.uint8:
        return True
    low, high = torch.aminmax(rows)
    return bool(low >= 0.0) and bool(high <= 255.0)


def search_bytes(
    query: Tensor, bank: Tensor, *, cv2: ModuleType, others: bool = False
) -> tuple[Neighbours, Tensor]:
    """For each query the nearest member of the bank by l1, where bytes tell it for certain.

    Args:
        query: shape (Q, F), grey levels in [0, 255], uint8 or floats.
        bank: shape (B, F), of the same kinds.
        cv2: OpenCV.
        others: whether both are the same rows, and none may answer itself.

    Returns:
        Exact distances (Q,) float64 and ids (Q,) int64, ties by the lowest; and which queries are
        unsure, as too many members are as near as bytes can tell, bool (Q,): these mean nothing.
    """
    members, member_error = rounded(bank)
    queries, query_error = (members, member_error) if others else rounded(query)
    proposed = _propose(
        queries, members, 2 * (query_error + member_error.max()), cv2, others=others
    )
    near, ids = proposed.sums, proposed.ids
    # The true distance of a pair is within both rounding errors of the sum over its bytes.
    slack = member_error[ids]
    best = (near + slack).amin(1) + query_error
    undecided = near - slack - query_error[:, None] <= best[:, None]
    unlisted = proposed.floor - member_error.max() - query_error  # the least any other can have
    unsure = unlisted <= best
    undecided[unsure] = False

    distances = torch.full_like(near, torch.inf)
    rows, places = undecided.nonzero(as_tuple=True)
    distances[rows, places] = exact_distances(query, bank, rows, ids[rows, places], norm="l1")
    least = distances.amin(1)
    tied = torch.where(distances == least[:, None], ids, len(bank))
    return Neighbours(distances=least, ids=tied.amin(1)), unsure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proposed:
    """Members that may be the nearest, by sums over bytes."""

    sums: Tensor
    ids: Tensor
    floor: Tensor


def _propose(
    queries: np.ndarray, members: np.ndarray, margin: Tensor, cv2: ModuleType, *, others: bool
) -> _Proposed:
    """By half-sized images first; in full where these leave a member within the margin (Q,)."""
    k = min(_CANDIDATES + others, len(members))
    whole = _Proposed(
        sums=torch.empty(len(queries), k, dtype=torch.float64),
        ids=torch.empty(len(queries), k, dtype=torch.int64),
        floor=torch.empty(len(queries), dtype=torch.float64),
    )
    small = _halved(members) if len(members) >= 8 * _SHORTLIST else None
    blocks = np.array_split(np.arange(len(queries)), -(-len(queries) // _BLOCK))
    for ids in progress_bar(blocks, "nearest neighbours"):
        rows = slice(int(ids[0]), int(ids[-1]) + 1)
        own = torch.from_numpy(ids) if others else None
        hard = np.ones(len(ids), bool)
        if small is not None:
            part = _in_two_steps(queries[rows], members, small, k, cv2, own)
            _put(whole, torch.from_numpy(ids), part)
            hard = (part.floor <= part.sums.amin(1) + margin[rows]).numpy()
            if hard.mean() > 0.75:  # as among noise: do not try again
                small = None
        if hard.any():
            again = torch.from_numpy(ids[hard])
            part = _in_full(queries[ids[hard]], members, k, cv2, again if others else None)
            _put(whole, again, part)
    return whole


def _put(whole: _Proposed, rows: Tensor, part: _Proposed) -> None:
    whole.sums[rows], whole.ids[rows], whole.floor[rows] = part.sums, part.ids, part.floor


def _in_full(
    queries: np.ndarray, members: np.ndarray, k: int, cv2: ModuleType, own: Tensor | None
) -> _Proposed:
    sums, ids = _nearest_sums(queries, members, k, cv2)
    floor = sums[:, -1].clone() if k < len(members) else torch.full((len(sums),), torch.inf)
    return _without(sums, ids, floor.double(), own)


def _nearest_sums(
    queries: np.ndarray, members: np.ndarray, k: int, cv2: ModuleType
) -> tuple[Tensor, Tensor]:
    """The k least sums, ascending, float64, and whose they are, int64; both (Q, k)."""
    sums = np.empty((len(queries), k), np.int32)
    ids = np.empty((len(queries), k), np.int32)
    tiles = max(1, len(members) // max(k, _TILE_BYTES // members.shape[1]))
    edges = [i * len(members) // tiles for i in range(tiles + 1)]  # no tile is smaller than k
    for start, stop in pairwise(edges):  # a start above 0 merges with what the tiles before had
        sums, ids = cv2.batchDistance(
            queries, members[start:stop], cv2.CV_32S, sums, ids, cv2.NORM_L1, k, None, start
        )
    return torch.from_numpy(sums).double(), torch.from_numpy(ids).long()


def _in_two_steps(
    queries: np.ndarray,
    members: np.ndarray,
    small: tuple[np.ndarray, Tensor],
    k: int,
    cv2: ModuleType,
    own: Tensor | None,
) -> _Proposed:
    halves, half_error = small
    halved = _halved(queries)
    assert halved is not None
    listed, shortlist = _nearest_sums(halved[0], halves, _SHORTLIST, cv2)
    # Four pixels to a sum; the rest of the gap is what rounding the means has moved them.
    floor = 4 * listed[:, -1] - halved[1] - half_error.max()
    sums = torch.empty(len(queries), k, dtype=torch.float64)
    ids = torch.empty(len(queries), k, dtype=torch.int64)
    step = max(1, _MASK_BYTES // len(members))
    for start in range(0, len(queries), step):
        some = slice(start, start + step)
        mask = np.zeros((len(queries[some]), len(members)), np.uint8)
        np.put_along_axis(mask, shortlist[some].numpy(), 1, 1)
        near, whose = cv2.batchDistance(
            queries[some], members, cv2.CV_32S, None, None, cv2.NORM_L1, k, mask
        )
        sums[some], ids[some] = torch.from_numpy(near).double(), torch.from_numpy(whose).long()
    return _without(sums, ids, torch.minimum(floor, sums[:, -1]), own)


def _without(sums: Tensor, ids: Tensor, floor: Tensor, own: Tensor | None) -> _Proposed:
    if own is not None:
        sums = sums.masked_fill(ids == own[:, None], torch.inf)
    return _Proposed(sums=sums, ids=ids, floor=floor)


def _halved(rows: np.ndarray) -> tuple[np.ndarray, Tensor] | None:
    """Means of four bytes each, rounded, and how far that moves a row's sum, float64 (N,)."""
    width = rows.shape[1]
    fours: tuple[int, ...]
    axes: tuple[int, ...]
    for channels in (3, 1):
        side = math.isqrt(width // channels)
        if side % 2 == 0 and channels * side * side == width:
            fours, axes = (channels, side // 2, 2, side // 2, 2), (3, 5)
            break
    else:
        if width % 4:
            return None
        fours, axes = (width // 4, 4), (2,)
    means = np.empty((len(rows), width // 4), np.uint8)
    error = torch.empty(len(rows), dtype=torch.float64)
    for start in range(0, len(rows), _BLOCK):
        some = slice(start, start + _BLOCK)
        block = rows[some].reshape(-1, *fours)
        sums = block.sum(axes, dtype=np.int32).reshape(len(block), -1)
        means[some] = (sums + 2) // 4
        error[some] = torch.from_numpy(np.abs(sums - 4 * means[some].astype(np.int32)).sum(1))
    return means, error


def rounded(rows: Tensor) -> tuple[np.ndarray, Tensor]:
    """The nearest bytes, and by how much each row differs from them, l1, float64 (N,)."""
    if rows.dtype == torch.uint8:
        return rows.cpu().contiguous().numpy(), torch.zeros(len(rows), dtype=torch.float64)
    bytes_ = torch.empty(rows.shape, dtype=torch.uint8)
    error = torch.empty(len(rows), dtype=torch.float64)
    step = max(1, _EXACT_ELEMENTS // rows.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step].to("cpu", torch.float64)
        whole = part.round()
        bytes_[start : start + step] = whole.to(torch.uint8)
        # What float64 itself loses in sums of this size is far below a millionth of a grey level.
        error[start : start + step] = (part - whole).abs_().sum(1).add_(1e-6)
    return bytes_.numpy(), error
