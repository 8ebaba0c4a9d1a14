"""The nearest others within one set of features.

All pairs are bounded, a block at a time, and each block serves both its rows and its columns; what
the bounds leave undecided is computed in float64, so distances are those of float64 arithmetic on
the features given. Memory beyond the argument stays under 1 GiB, plus about 300 bytes a row, as
long as one row has fewer than 2^18 numbers. The argument is not changed, and no random number is
drawn. The work is done on a GPU where the features are on one, else on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.metrics.bounds import Ruler, as_rows, exact_distances, row_blocks, rulers
from ganstoch.metrics.byte_search import fits_bytes, load_opencv, search_bytes
from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Neighbours, Norm

__all__ = ["k_nearest", "kth_distances", "within_set_nearest"]

_BLOCK_ROWS = 4096
_EXTRA = 8
"""Candidates beyond the k asked for, by which to see that no other can be nearer."""


def k_nearest(query: Tensor, bank: Tensor, *, k: int, norm: Norm) -> Neighbours:
    """The k nearest members of a bank for each query, the nearest first.

    Distances are those of sums over bytes, or of float32: for votes and ranks, which a rounding
    error between two members that are as good as equally near may turn.

    Args:
        query: shape (Q, F...), uint8, float32 or float64.
        bank: shape (B, F...), idem; B at least k.
        k: at least 1.
        norm: "l1" or "l2".

    Returns:
        Distances (Q, k) float64 and ids (Q, k) int64, on the CPU.

    Raises:
        ValueError: for features of another kind, NaN or Inf, or k out of range.
    """
    asked, members = as_rows(query, name="query"), as_rows(bank, name="bank")
    if not 1 <= k <= len(members):
        raise ValueError(f"k must be from 1 to the number of members, {len(members)}, got {k}")
    opencv = load_opencv() if norm == "l1" and asked.device.type == "cpu" else None
    in_bytes = opencv is not None and asked.dtype == members.dtype == torch.uint8
    origin = members.double().mean(0)
    distances = torch.empty(len(asked), k, dtype=torch.float64)
    ids = torch.empty(len(asked), k, dtype=torch.int64)
    others = None if in_bytes else members.sub(origin).float()
    for rows in progress_bar(row_blocks(asked, _BLOCK_ROWS), "nearest few"):
        if in_bytes and opencv is not None:
            sums, found = opencv.batchDistance(
                asked[rows].contiguous().numpy(),
                members.contiguous().numpy(),
                opencv.CV_32S,
                normType=opencv.NORM_L1,
                K=k,
            )
            distances[rows], ids[rows] = torch.from_numpy(sums), torch.from_numpy(found)
            continue
        assert others is not None
        apart = torch.cdist(asked[rows].sub(origin).float(), others, p=1.0 if norm == "l1" else 2.0)
        least = apart.topk(k, dim=1, largest=False)
        distances[rows], ids[rows] = least.values.cpu().double(), least.indices.cpu()
    return Neighbours(distances=distances, ids=ids)


def kth_distances(features: Tensor, *, k: int, norm: Norm) -> Tensor:
    """Distance of each row to the k-th nearest other row.

    A row is no neighbour of itself, but of its duplicates, at distance 0.

    Args:
        features: shape (N, F...), uint8, float32 or float64, N > k; trailing axes are flattened.
        k: at least 1.
        norm: "l1" or "l2".

    Returns:
        Shape (N,), float64, on the CPU.

    Raises:
        ValueError: for features of another kind, NaN or Inf, or k out of range.
    """
    rows = _several(features, k=k)
    found = _nearest_others(rows, torch.arange(len(rows)), k=k, norm=norm)
    return found.distances[:, -1].clone()


def within_set_nearest(features: Tensor, *, norm: Norm) -> Neighbours:
    """For each row the nearest other row of the same set; a duplicate is one, at distance 0.

    Distances are exact. Of equally near ones the lowest id answers, as long as there are fewer than
    nine of them, else one of them.

    Args:
        features: shape (N, F...), uint8, float32 or float64, N > 1; trailing axes are flattened.
        norm: "l1" or "l2".

    Returns:
        Distances (N,) float64 and ids (N,) int64, on the CPU.

    Raises:
        ValueError: for features of another kind, NaN or Inf, or a single row.
    """
    rows = _several(features, k=1)
    opencv = load_opencv() if norm == "l1" and rows.device.type == "cpu" else None
    if opencv is None or not fits_bytes(rows):
        found = _nearest_others(rows, torch.arange(len(rows)), k=1, norm=norm)
        return Neighbours(distances=found.distances[:, 0], ids=found.ids[:, 0])
    near, unsure = search_bytes(rows, rows, cv2=opencv, others=True)
    if unsure.any():
        some = unsure.nonzero()[:, 0]
        found = _nearest_others(rows, some, k=1, norm=norm)
        near.distances[some], near.ids[some] = found.distances[:, 0], found.ids[:, 0]
    return near


def _several(features: Tensor, *, k: int) -> Tensor:
    rows = as_rows(features, name="features")
    if not 1 <= k < len(rows):
        raise ValueError(f"k must be from 1 to the number of other rows, {len(rows) - 1}, got {k}")
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """For each asking row (A,) the K others with the least lower bounds, ascending.

    Attributes:
        low: lower bounds, float64, shape (A, K).
        high: upper bounds, float64, shape (A, K).
        ids: whose they are, int64, shape (A, K).
    """

    low: Tensor
    high: Tensor
    ids: Tensor


def _nearest_others(rows: Tensor, asking: Tensor, *, k: int, norm: Norm) -> Neighbours:
    """The k nearest others of the rows that ask (A,), ascending: distances and ids (A, k)."""
    distances = torch.empty(len(asking), k, dtype=torch.float64)
    ids = torch.empty(len(asking), k, dtype=torch.int64)
    size = min(k + _EXTRA, len(rows) - 1)
    todo = torch.arange(len(asking))
    for ruler in rulers(rows, rows, norm=norm):
        found = _candidates(rows, asking[todo], ruler, size=size)
        reach = found.high.kthvalue(k, dim=1, keepdim=True).values
        row, place = (found.low <= reach).nonzero(as_tuple=True)
        exact = torch.full(found.low.shape, torch.inf, dtype=torch.float64)
        exact[row, place] = exact_distances(
            rows, rows, asking[todo[row]], found.ids[row, place], norm=norm
        )
        by_id = found.ids.argsort(dim=1)  # then stably by distance, so that ties go to the lowest
        near = exact.gather(1, by_id).sort(dim=1, stable=True)
        distances[todo] = near.values[:, :k]
        ids[todo] = found.ids.gather(1, by_id.gather(1, near.indices[:, :k]))
        kth = distances[todo, -1]
        # Nobody who is not listed can be nearer than the last who is.
        sure = (ruler.units(kth) <= found.low[:, -1]) | (kth == 0) | (size == len(rows) - 1)
        todo = todo[~sure]
        if len(todo) == 0:
            break
    # A crowd nearer to each other than float64 products can tell, or than one grey level.
    everyone = torch.arange(len(rows))
    for i in progress_bar(todo.tolist(), "neighbours in crowds"):
        row = asking[i]
        exact = exact_distances(rows, rows, row.expand(len(rows)), everyone, norm=norm)
        exact[row] = torch.inf
        near = exact.sort(stable=True)
        distances[i], ids[i] = near.values[:k], near.indices[:k]
    return Neighbours(distances=distances, ids=ids)


def _candidates(rows: Tensor, asking: Tensor, ruler: Ruler, *, size: int) -> _Candidates:
    everyone = len(asking) == len(rows)
    blocks = row_blocks(rows, _BLOCK_ROWS)
    asking_blocks = blocks if everyone else row_blocks(asking[:, None], blocks[0].stop)
    pairs = [
        (i, j)
        for a, i in enumerate(asking_blocks)
        for j in blocks[a if everyone else 0 :]  # each pair of blocks once
    ]
    low = torch.full((len(asking), size), torch.inf, dtype=torch.float64)
    ids = torch.zeros(len(asking), size, dtype=torch.int64)
    slack = torch.empty(len(rows), dtype=torch.float64)
    loaded, left = None, None
    for i, j in progress_bar(pairs, "nearest others"):
        if i is not loaded:
            own = asking[i]
            loaded, left = i, ruler.load(rows[own.to(rows.device)] if not everyone else rows[i])
        right = left if everyone and i is j else ruler.load(rows[j])
        assert left is not None
        assert right is not None
        slack[j] = right.slack.cpu()
        bounds = ruler.low(left, right)
        met = ((own >= j.start) & (own < j.stop)).nonzero()[:, 0]
        bounds[met.to(bounds.device), (own[met] - j.start).to(bounds.device)] = torch.inf
        _keep_least(low[i], ids[i], bounds, j.start)
        if everyone and i is not j:
            _keep_least(low[j], ids[j], bounds.T, i.start)
    return _Candidates(low=low, high=low + slack[asking][:, None] + slack[ids], ids=ids)


def _keep_least(low: Tensor, ids: Tensor, bounds: Tensor, first_id: int) -> None:
    """Takes what a block adds to the least lower bounds so far, in place."""
    size = low.shape[1]
    new = bounds.topk(min(size, bounds.shape[1]), dim=1, largest=False)
    both = torch.cat([low, new.values.cpu().double()], dim=1)
    whose = torch.cat([ids, new.indices.cpu() + first_id], dim=1)
    kept = both.topk(size, dim=1, largest=False)
    low.copy_(kept.values)
    ids.copy_(whose.gather(1, kept.indices))
