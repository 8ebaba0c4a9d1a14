"""Rows of numbers: checked, compared exactly in float64, and searched by l1 on their bytes.

Rounding moves a distance by no more than the rounding errors of the two images add up to, so only
members within that of the best are looked at again. Bounds (`coarse`) spare most pairs their sum.
"""

import hashlib
import math
from collections import Counter
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ganstoch.metrics.neighbours.coarse import (
    STRIDE,
    Codes,
    Halves,
    bounds,
    encode,
    halve,
    likely,
    limits,
)
from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Neighbours, Norm

_CANDIDATES = 16
_SHORTLIST = 32  # members that half-sized images keep, the nearest nearly always among them
_FEW = 500  # members that are all compared in full as fast
_MORE = 7  # beyond k: members that bounds propose, to know how far to look
_CROWDED = 0.75  # share of pairs from which on bounds that exclude the others are not worth it
_TILE_BYTES = 3 * 2**19  # of the bank: they stay in a core's cache while all queries pass
_BLOCK = 1024  # queries at a time
_PAIRS = 2**23  # of them and of members, at a time
_EXACT_ELEMENTS = 2**22  # in one float64 block, 32 MiB
_CACHED_ELEMENTS = 2**16  # of pairs in one, which stays in a core's cache
_SAMPLE = 32  # numbers of a row, of which most rows have their own
_BLOCK_ELEMENTS = 2**24  # in one block of rows, 64 MiB of float32


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


def unit_rows(rows: Tensor) -> Tensor:
    """Rows (N, F) at length 1, float64; rows of zeros stay."""
    units = rows.double()
    lengths = units.norm(dim=1, keepdim=True)
    return torch.div(units, lengths.masked_fill(lengths == 0, 1.0))


def exact_distances(
    query: Tensor, bank: Tensor, query_ids: Tensor, bank_ids: Tensor, *, norm: Norm
) -> Tensor:
    """Distances (P,) of pairs of rows, by their ids, in float64: one number for the same rows."""
    distances = torch.empty(len(query_ids), dtype=torch.float64)
    on_cpu = query.device.type == bank.device.type == "cpu"
    step = max(2, (_CACHED_ELEMENTS if on_cpu else _EXACT_ELEMENTS) // query.shape[1])
    for start in range(0, len(query_ids), step):
        rows, members = query_ids[start : start + step], bank_ids[start : start + step]
        if len(rows) == 1:  # torch sums a single long row in another order than one of several
            rows, members = rows.expand(2), members.expand(2)
        gap = query[rows.to(query.device)].to("cpu", torch.float64)
        gap.sub_(bank[members.to(bank.device)].to("cpu", torch.float64))
        sums = gap.abs_().sum(1) if norm == "l1" else gap.square_().sum(1).sqrt_()
        distances[start : start + step] = sums[: len(distances) - start]
    return distances


def least_first(distances: Tensor, ids: Tensor, *, k: int) -> Neighbours:
    """The k least of each row's distances, ascending; ties to the lowest id."""
    by_id = ids.argsort(dim=1)
    least = distances.gather(1, by_id).sort(dim=1, stable=True)
    order = by_id.gather(1, least.indices[:, :k])
    return Neighbours(distances=least.values[:, :k], ids=ids.gather(1, order))


def first_equal(rows: Tensor) -> Tensor:
    """For each row the id of the first row that equals it bit for bit, int64, shape (N,)."""
    first = torch.arange(len(rows))
    some = rows[:, :: -(-rows.shape[1] // _SAMPLE)].cpu().contiguous().numpy()
    parts = [row.tobytes() for row in some]
    times = Counter(parts)  # rows that differ from all others in some numbers need no hash
    alike = torch.tensor([i for i, part in enumerate(parts) if times[part] > 1]).long()
    seen: dict[bytes, int] = {}
    for block in row_blocks(rows, len(rows)):
        ids = alike[(alike >= block.start) & (alike < block.stop)]
        for i, row in zip(ids.tolist(), rows[ids.to(rows.device)].cpu().numpy(), strict=True):
            digest = hashlib.blake2b(row.data, digest_size=16).digest()
            first[i] = seen.setdefault(digest, i)
    return first


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
    own = torch.arange(len(query)) if others else None
    if query.dtype == bank.dtype == torch.uint8:
        found = nearest_bytes(query, bank, k=1, own=own)
        return Neighbours(found.distances[:, 0], found.ids[:, 0]), torch.zeros(len(query)).bool()
    members, member_error = rounded(bank)
    queries, query_error = (members, member_error) if others else rounded(query)
    margin = 2 * (query_error + member_error.max())
    near, ids, floor = _propose(queries, members, margin, own=own, k=1, size=_CANDIDATES)
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


def nearest_bytes(query: Tensor, bank: Tensor, *, k: int, own: Tensor | None = None) -> Neighbours:
    """The k nearest members (B, F) of queries (Q, F), both bytes, by l1: exact, (Q, k).

    The nearest first, of equally near ones the lowest id; ``own`` are members (Q,) that do not
    answer.
    """
    rows, members = (each.cpu().contiguous().numpy() for each in (query, bank))
    sums, ids, _ = _propose(rows, members, torch.zeros(len(rows)), own=own, k=k, size=k)
    return Neighbours(distances=sums, ids=ids)


def _propose(
    queries: np.ndarray,
    members: np.ndarray,
    margin: Tensor,
    *,
    own: Tensor | None,
    k: int,
    size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums and ids (Q, size) of all within the margin of the k nearest, and others' floor (Q,).

    Where there are more of them than the size, the floor is below the margin.
    """
    count, others = len(queries), len(members) - (own is not None)
    size = min(size, others)
    sums = torch.empty(count, size, dtype=torch.float64)
    ids = torch.empty(count, size, dtype=torch.int64)
    floor = torch.full((count,), torch.inf, dtype=torch.float64)
    is_worth = len(members) >= max(_FEW, STRIDE * (k + _MORE))
    codes = encode(members) if is_worth else None
    small = halve(members) if codes is not None and len(members) >= 8 * _SHORTLIST else None
    step = max(1, min(_BLOCK, _PAIRS // len(members)))
    for start in progress_bar(range(0, count, step), "nearest neighbours"):
        some = slice(start, start + step)
        rows, mask = queries[some], None
        place = None if own is None else own[some]
        if codes is not None:
            mask, floor[some] = _within_reach(rows, members, codes, small, margin[some], place, k)
            if mask.count_nonzero() > _CROWDED * mask.numel():  # as among noise: do not try again
                codes = None
        elif place is not None:
            mask = torch.ones(len(rows), len(members), dtype=torch.bool)
            mask[torch.arange(len(rows)), place] = False
        sums[some], ids[some] = _nearest_sums(rows, members, size, mask)
    return sums, ids, torch.minimum(floor, sums[:, -1]) if size < others else floor


def _within_reach(
    queries: np.ndarray,
    members: np.ndarray,
    codes: Codes,
    small: Halves | None,
    margin: Tensor,
    own: Tensor | None,
    k: int,
) -> tuple[Tensor, Tensor]:
    """Whom to compare in full, bool (Q, B), and what all others' sums are above, (Q,)."""
    mine = encode(queries)
    assert mine is not None
    low = bounds(mine, codes)
    if own is not None:
        low[torch.arange(len(low)), own] = 2**30

    def reached(ids: Tensor) -> tuple[Tensor, Tensor]:
        """The members as a mask, and how far away the k nearest of them are, and the margin."""
        mask = torch.zeros(low.shape, dtype=torch.bool).scatter_(1, ids, True)
        if own is not None:  # an empty place of a list holds member 0
            mask[torch.arange(len(mask)), own] = False
        return mask, _nearest_sums(queries, members, k, mask)[0][:, -1] + margin + 1

    reach = reached(likely(low, k + _MORE))[1]
    mask = low <= limits(mine, reach)
    if small is None:
        return mask, reach
    halves = halve(queries)
    assert halves is not None
    # Four pixels to a sum; the rest of the gap is what rounding the means has moved them.
    listed, ids = _nearest_sums(halves.means, small.means, _SHORTLIST, mask)
    beyond = 4 * listed[:, -1] - halves.error - small.error.max()
    short, nearer = reached(ids)
    reach = torch.minimum(reach, nearer)
    return torch.where((beyond > reach)[:, None], short, low <= limits(mine, reach)), reach


def _nearest_sums(
    queries: np.ndarray, members: np.ndarray, k: int, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The k least sums, ascending, float64, and whose they are, int64, (Q, k); of the masked.

    Of equal sums the lowest ids, in their order. Where there are fewer, sums are infinite.
    """
    cv2 = opencv()
    sums, ids = np.empty((2, len(queries), k), np.int32)
    tiles = max(1, len(members) // max(k, _TILE_BYTES // members.shape[1]))
    edges = [i * len(members) // tiles for i in range(tiles + 1)]  # no tile is smaller than k
    for start, stop in pairwise(edges):  # a start above 0 merges with what the tiles before had
        of = None if mask is None else mask[:, start:stop].numpy().view(np.uint8)
        sums, ids = cv2.batchDistance(
            queries, members[start:stop], cv2.CV_32S, sums, ids, cv2.NORM_L1, k, of, start
        )
    none = torch.from_numpy(ids) < 0
    return (
        torch.from_numpy(sums).double().masked_fill_(none, torch.inf),
        torch.from_numpy(ids).long().masked_fill_(none, 0),
    )


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
