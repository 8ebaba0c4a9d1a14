"""Rows of numbers: checked, compared exactly in float64, and searched by l1 on their bytes.

Rounding moves a distance by no more than the rounding errors of the two images add up to, so only
members within that of the best are looked at again. Where images are smooth, most are ruled out at
half the side: with S any square of four pixels,

    sum over p in S of |q_p - b_p|  >=  |sum over p in S of q_p  -  sum over p in S of b_p|.
"""

import hashlib
import math
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Neighbours, Norm

_CANDIDATES = 16
_SHORTLIST = 128  # members that half-sized images propose, the nearest nearly always among them
_TILE_BYTES = 3 * 2**19  # of the bank: they stay in a core's cache while all queries pass
_MASK_BYTES = 2**24  # that say which members a block of queries is compared with in full
_BLOCK = 4096  # queries at a time
_EXACT_ELEMENTS = 2**22  # in one float64 block, 32 MiB
_BLOCK_ELEMENTS = 2**24  # in one block of rows, 64 MiB of float32
_Proposal = tuple[Tensor, Tensor, Tensor]


def as_rows(**sets: Tensor) -> list[Tensor]:
    """Sets of values, by name, as rows (N, F) of one length; a ValueError names what is wrong."""
    result = []
    for name, values in sets.items():
        if values.dtype not in (torch.uint8, torch.float32, torch.float64):
            raise ValueError(f"{name} must be uint8, float32 or float64, got {values.dtype}")
        if values.ndim < 2 or values.numel() == 0:
            raise ValueError(
                f"{name} must have shape (N, F...), none of them 0; got {tuple(values.shape)}"
            )
        rows = values.detach().flatten(1)
        if rows.is_floating_point():
            low, high = torch.aminmax(rows)  # NaN passes through both, and no mask is allocated
            if not (torch.isfinite(low) and torch.isfinite(high)):
                raise ValueError(f"{name} contains NaN or infinite values")
        result.append(rows)
    widths = [f"{name} has {rows.shape[1]}" for name, rows in zip(sets, result, strict=True)]
    if len({rows.shape[1] for rows in result}) > 1:
        raise ValueError(f"numbers of features a row differ: {', '.join(widths)}")
    return result


def row_blocks(rows: Tensor, most: int) -> list[slice]:
    """Consecutive blocks of at most so many rows (N, F), fewer where rows are very long."""
    step = max(1, min(most, _BLOCK_ELEMENTS // rows.shape[1]))
    return [slice(i, min(i + step, len(rows))) for i in range(0, len(rows), step)]


def float64_blocks(rows: Tensor) -> list[slice]:
    """Consecutive blocks of rows (N, F) that float64 copies are made of one at a time."""
    return row_blocks(rows, max(1, _EXACT_ELEMENTS // rows.shape[1]))


def mean_row(rows: Tensor, device: torch.device | None = None) -> Tensor:
    """The mean of rows (N, F), float64 (F,), on a device or their own."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=device or rows.device)
    for block in float64_blocks(rows):
        total += rows[block].to(total.device, torch.float64).sum(dim=0)
    return total / len(rows)


def exact_distances(
    query: Tensor, bank: Tensor, query_ids: Tensor, bank_ids: Tensor, *, norm: Norm
) -> Tensor:
    """Distances (P,) of pairs of rows, by their ids, in float64: one number for the same rows."""
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
    ids: Tensor = torch.unique(first_equal(rows))
    return ids


def times_each(first: Tensor) -> int:
    """How often every row occurs, or a multiple, by `first_equal`; 2 for a set given twice."""
    counts = torch.bincount(first)
    return math.gcd(*counts[counts > 0].tolist())


def opencv() -> ModuleType:
    """OpenCV, whose `batchDistance` uses those instructions, with torch's number of threads."""
    import cv2  # takes a while

    cv2.setNumThreads(torch.get_num_threads())
    return cv2


def is_grey(*sets: Tensor) -> bool:
    """Whether rows (N, F) are grey levels in [0, 255], few enough to be summed in 32 bits."""
    for rows in sets:
        if rows.shape[1] > 2**23:
            return False
        if rows.dtype != torch.uint8:
            low, high = torch.aminmax(rows)
            if low < 0.0 or high > 255.0:
                return False
    return True


def search_bytes(query: Tensor, bank: Tensor, *, others: bool = False) -> tuple[Neighbours, Tensor]:
    """For each query (Q, F) the nearest member of the bank (B, F) by l1, if bytes are sure of it.

    Neighbours are exact, ties go to the lowest id. Which queries are unsure, as too many members
    are as near as bytes can tell, comes second, bool (Q,): their neighbours mean nothing. With
    ``others``, both are the same rows, and none may answer itself.
    """
    members, member_error = rounded(bank)
    queries, query_error = (members, member_error) if others else rounded(query)
    margin = 2 * (query_error + member_error.max())
    near, ids, floor = _propose(queries, members, margin, others=others)
    # The true distance of a pair is within both rounding errors of the sum over its bytes.
    slack = member_error[ids]
    best = (near + slack).amin(1) + query_error
    undecided = near - slack - query_error[:, None] <= best[:, None]
    unsure = floor - member_error.max() - query_error <= best
    undecided[unsure] = False

    distances = torch.full_like(near, torch.inf)
    rows, places = undecided.nonzero(as_tuple=True)
    distances[rows, places] = exact_distances(query, bank, rows, ids[rows, places], norm="l1")
    least = distances.amin(1)
    tied = torch.where(distances == least[:, None], ids, len(bank))
    return Neighbours(distances=least, ids=tied.amin(1)), unsure


def _propose(
    queries: np.ndarray, members: np.ndarray, margin: Tensor, *, others: bool
) -> _Proposal:
    """Members that may be the nearest: sums of bytes and ids (Q, k), and below any other's (Q,)."""
    count, k = len(queries), min(_CANDIDATES + others, len(members))
    sums = torch.empty(count, k, dtype=torch.float64)
    ids = torch.empty(count, k, dtype=torch.int64)
    floor = torch.empty(count, dtype=torch.float64)

    def put(rows: Tensor, part: _Proposal) -> Tensor:
        sums[rows], ids[rows], floor[rows] = part
        if others:
            sums[rows] = sums[rows].masked_fill(ids[rows] == rows[:, None], torch.inf)
        return floor[rows] <= sums[rows].amin(1) + margin[rows]

    small = _halved(members) if len(members) >= 8 * _SHORTLIST else None
    blocks = torch.arange(count).tensor_split(-(-count // _BLOCK))
    for rows in progress_bar(blocks, "nearest neighbours"):
        if small is not None:
            hard = put(rows, _in_two_steps(queries[rows.numpy()], members, small, k))
            if hard.double().mean() > 0.75:  # as among noise: do not try again
                small = None
            rows = rows[hard]
        if len(rows):
            put(rows, _in_full(queries[rows.numpy()], members, k))
    return sums, ids, floor


def _in_full(queries: np.ndarray, members: np.ndarray, k: int) -> _Proposal:
    sums, ids = _nearest_sums(queries, members, k)
    floor = sums[:, -1] if k < len(members) else torch.full((len(sums),), torch.inf)
    return sums, ids, floor.double()


def _nearest_sums(queries: np.ndarray, members: np.ndarray, k: int) -> tuple[Tensor, Tensor]:
    """The k least sums, ascending, float64, and whose they are, int64; both (Q, k)."""
    cv2 = opencv()
    sums, ids = np.empty((2, len(queries), k), np.int32)
    tiles = max(1, len(members) // max(k, _TILE_BYTES // members.shape[1]))
    edges = [i * len(members) // tiles for i in range(tiles + 1)]  # no tile is smaller than k
    for start, stop in pairwise(edges):  # a start above 0 merges with what the tiles before had
        sums, ids = cv2.batchDistance(
            queries, members[start:stop], cv2.CV_32S, sums, ids, cv2.NORM_L1, k, None, start
        )
    return torch.from_numpy(sums).double(), torch.from_numpy(ids).long()


def _in_two_steps(
    queries: np.ndarray, members: np.ndarray, small: tuple[np.ndarray, Tensor], k: int
) -> _Proposal:
    cv2 = opencv()
    halved = _halved(queries)
    assert halved is not None
    listed, shortlist = _nearest_sums(halved[0], small[0], _SHORTLIST)
    # Four pixels to a sum; the rest of the gap is what rounding the means has moved them.
    floor = 4 * listed[:, -1] - halved[1] - small[1].max()
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
    return sums, ids, torch.minimum(floor, sums[:, -1])


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
    levels = torch.empty(rows.shape, dtype=torch.uint8)
    error = torch.empty(len(rows), dtype=torch.float64)
    for block in float64_blocks(rows):
        part = rows[block].to("cpu", torch.float64)
        whole = part.round()
        levels[block] = whole.to(torch.uint8)
        # What float64 itself loses in sums of this size is far below a millionth of a grey level.
        error[block] = (part - whole).abs_().sum(1).add_(1e-6)
    return levels.numpy(), error
