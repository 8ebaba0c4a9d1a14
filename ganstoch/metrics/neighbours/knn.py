"""Exact k nearest neighbours, in another set or in one's own.

The few candidates that `bounds` leave are computed in float64, in which exact copies are at
distance 0. A duplicate counts as a neighbour, a row itself does not. Memory beyond the arguments
stays under 1 GiB for rows of fewer than 2^18 numbers. The work is done on a GPU if rows are there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganstoch.metrics.neighbours.approximate import ACTIVE
from ganstoch.metrics.neighbours.bounds import LoadedBlocks, Ruler, is_kept, rulers
from ganstoch.metrics.neighbours.byte_search import (
    as_rows,
    exact_distances,
    first_equal,
    is_grey,
    least_first,
    nearest_bytes,
    row_blocks,
    search_bytes,
)
from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Neighbours, Norm

_BLOCK_ROWS = 4096
_FEW_ROWS = 2048  # in a block of these
_STRIDE = 16  # columns of a block's bounds, of which only the least is looked at first
_EXTRA = 8  # candidates beyond k, by which to see that no other can be nearer


def k_nearest(query: Tensor, bank: Tensor, *, k: int, norm: Norm) -> Neighbours:
    """The k nearest members of a bank for each query, the nearest first; ties by the lowest id.

    As `nearest_neighbours`, but distances and ids have the shape (Q, k).
    """
    rows, members = as_rows(query=query, bank=bank)
    if not 1 <= k <= len(members):
        raise ValueError(f"k must be from 1 to the number of members, {len(members)}, got {k}")
    look = ACTIVE.get()
    is_exact = look is None or not look.is_worth(rows, members)
    if is_exact and _are_bytes(rows, members, norm=norm):
        return nearest_bytes(rows, members, k=k)
    first = first_equal(members)
    kinds, counts = torch.unique(first, return_counts=True)
    if len(kinds) == len(members):
        return _nearest(rows, members, k=k, norm=norm)
    # Identical members are searched once; then each kind stands for its k lowest ids.
    of_kind = members[kinds.to(members.device)]
    near = _nearest(rows, of_kind, k=min(k, len(kinds)), norm=norm)
    place = torch.arange(k)
    by_kind = first.argsort(stable=True)
    start = counts.cumsum(0) - counts
    lowest = by_kind[(start[:, None] + place).clamp(max=len(members) - 1)]
    absent = (place >= counts[:, None])[near.ids].flatten(1)
    distances = near.distances.repeat_interleave(k, dim=1).masked_fill(absent, torch.inf)
    return least_first(distances, lowest[near.ids].flatten(1), k=k)


def kth_distances(features: Tensor, *, k: int, norm: Norm) -> Tensor:
    """Distance of each row (N, F...) to the k-th nearest other row, float64 (N,), on the CPU."""
    rows, every = _several(features, k=k), torch.arange(len(features))
    nearest = _exact(rows, rows, k=k, norm=norm, own=every, last_only=True)
    return nearest.distances[:, -1].clone()


def within_set_nearest(features: Tensor, *, norm: Norm) -> Neighbours:
    """For each row (N, F...) the nearest other row: exact distances and ids, on the CPU.

    Of equally near ones the lowest id answers, or one of them where there are nine or more.
    """
    rows = _several(features, k=1)
    every = torch.arange(len(rows))
    look = ACTIVE.get()
    is_exact = look is None or not look.is_worth(rows, rows)
    if not is_exact or norm != "l1" or rows.device.type != "cpu" or not is_grey(rows):
        nearest = _nearest(rows, rows, k=1, norm=norm, own=every)
        return Neighbours(distances=nearest.distances[:, 0], ids=nearest.ids[:, 0])
    nearest, unsure = search_bytes(rows, rows, others=True)
    if unsure.any():
        some = every[unsure]
        rest = _nearest(rows[some], rows, k=1, norm=norm, own=some)
        nearest.distances[some], nearest.ids[some] = rest.distances[:, 0], rest.ids[:, 0]
    return nearest


def _are_bytes(*sets: Tensor, norm: Norm) -> bool:
    """Whether sums over bytes are all that it takes."""
    on_cpu = all(rows.dtype == torch.uint8 and rows.device.type == "cpu" for rows in sets)
    return norm == "l1" and on_cpu and is_grey(*sets)


def _several(features: Tensor, *, k: int) -> Tensor:
    (rows,) = as_rows(features=features)
    if not 1 <= k < len(rows):
        raise ValueError(f"k must be from 1 to the number of other rows, {len(rows) - 1}, got {k}")
    return rows


def _nearest(
    query: Tensor, bank: Tensor, *, k: int, norm: Norm, own: Tensor | None = None
) -> Neighbours:
    """The k nearest, ascending: distances and ids (Q, k); none is a query's own."""
    look = ACTIVE.get()
    if look is None or not look.is_worth(query, bank):
        return _exact(query, bank, k=k, norm=norm, own=own)
    return look.nearest(query, bank, k=k, norm=norm, own=own, exact=_exact)


def _exact(
    query: Tensor,
    bank: Tensor,
    *,
    k: int,
    norm: Norm,
    own: Tensor | None = None,
    last_only: bool = False,
) -> Neighbours:
    """The same among all members; ``last_only``: those before the k-th may be -inf."""
    if _are_bytes(query, bank, norm=norm):
        return nearest_bytes(query, bank, k=k, own=own)
    distances = torch.empty(len(query), k, dtype=torch.float64)
    ids = torch.empty(len(query), k, dtype=torch.int64)
    members = len(bank) - (own is not None)
    size = min(k + _EXTRA, members)
    todo = torch.arange(len(query))
    for ruler in rulers(query, bank, norm=norm):
        low, high, listed = _candidates(query, bank, todo, own, ruler, size=size)
        reach = high.kthvalue(k, dim=1, keepdim=True).values
        asked = low <= reach
        exact = torch.full(low.shape, torch.inf, dtype=torch.float64)
        if last_only:
            nearer = high < low[:, k - 1 : k]  # than the k-th, whoever that is
            exact[nearer], asked = -torch.inf, asked & ~nearer
        row, place = asked.nonzero(as_tuple=True)
        exact[row, place] = exact_distances(query, bank, todo[row], listed[row, place], norm=norm)
        near = least_first(exact, listed, k=k)
        distances[todo], ids[todo] = near.distances, near.ids
        kth = near.distances[:, -1]
        # No member that is not listed can be nearer than the last that is, nor tie in another set.
        last, reached = low[:, -1], ruler.units(kth)
        beyond = reached < last if own is None else reached <= last
        sure = beyond | (kth == 0) | (size == members)
        todo = todo[~sure]
        if len(todo) == 0:
            break
    # A crowd nearer to each other than float64 products can tell, or than one grey level.
    every = torch.arange(len(bank))
    for i in progress_bar(todo.tolist(), "neighbours in crowds"):
        row = torch.tensor(i).expand(len(bank))
        exact = exact_distances(query, bank, row, every, norm=norm)
        if own is not None:
            exact[own[i]] = torch.inf
        least = exact.sort(stable=True)
        distances[i], ids[i] = least.values[:k], least.indices[:k]
    return Neighbours(distances=distances, ids=ids)


def _candidates(
    query: Tensor, bank: Tensor, todo: Tensor, own: Tensor | None, ruler: Ruler, *, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The members with the least lower bounds: lower bounds, upper bounds and ids, (T, size)."""
    symmetric = query is bank and len(todo) == len(bank)  # then each pair of blocks serves both
    blocks = row_blocks(bank, _FEW_ROWS if is_kept(bank) else _BLOCK_ROWS)
    step = blocks[0].stop
    loaded = LoadedBlocks(ruler, bank, blocks)
    low = torch.full((len(todo), size), torch.inf, dtype=torch.float64)
    ids = torch.zeros(len(todo), size, dtype=torch.int64)
    slack, own_slack = torch.empty(len(bank)).double(), torch.empty(len(todo)).double()
    for a, start in enumerate(progress_bar(range(0, len(todo), step), "nearest others")):
        i = slice(start, start + step)
        rows = todo[i]
        left = loaded[a] if symmetric else ruler.load(query[rows.to(query.device)])
        own_slack[i] = left.slack.cpu()
        for b, j in enumerate(blocks):
            if symmetric and b < a:
                continue
            right = left if symmetric and a == b else loaded[b]
            slack[j] = right.slack.cpu()
            bounds = ruler.low(left, right)
            if own is not None:
                place = own[rows] - j.start
                inside = ((place >= 0) & (place < j.stop - j.start)).nonzero()[:, 0]
                bounds[inside.to(bounds.device), place[inside].to(bounds.device)] = _most(bounds)
            _keep_least(low[i], ids[i], bounds, j.start)
            if symmetric and a != b:
                _keep_least(low[j], ids[j], bounds.T, start)
    return low, low + own_slack[:, None] + slack[ids], ids


def _keep_least(low: Tensor, ids: Tensor, bounds: Tensor, first_id: int) -> None:
    """Merges a block's bounds into the least lower bounds so far, in place."""
    size = low.shape[1]
    values, places = _least_of(bounds, min(size, bounds.shape[1]))
    both = torch.cat([low, values.cpu().double()], dim=1)
    all_ids = torch.cat([ids, places.cpu() + first_id], dim=1)
    least = both.topk(size, dim=1, largest=False)
    low.copy_(least.values)
    ids.copy_(all_ids.gather(1, least.indices))


def _least_of(bounds: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The least of each row and where they are, (n, count): all in columns that hold the least."""
    rows, width = len(bounds), bounds.shape[1] // _STRIDE
    if width < 4 * count:
        least = bounds.topk(count, dim=1, largest=False)
        return least.values, least.indices
    some = bounds[:, : _STRIDE * width]
    if bounds.stride(1) == 1:
        least_of_stride = some.view(rows, _STRIDE, width).amin(1)
    else:  # a transposed block: many times faster along its own rows
        least_of_stride = some.T.reshape(_STRIDE, width, rows).amin(0).T
    columns = least_of_stride.topk(count, dim=1, largest=False).indices
    places = columns[:, None] + width * torch.arange(_STRIDE, device=bounds.device)[:, None]
    rest = torch.arange(_STRIDE * width, bounds.shape[1], device=bounds.device)
    listed = torch.cat([places.flatten(1), rest.expand(rows, -1)], dim=1)
    least = bounds.gather(1, listed).topk(count, dim=1, largest=False)
    return least.values, listed.gather(1, least.indices)


def _most(bounds: Tensor) -> float:
    return torch.inf if bounds.is_floating_point() else torch.iinfo(bounds.dtype).max
