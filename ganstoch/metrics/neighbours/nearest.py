"""The nearest neighbour of each query: a fast search proposes candidates, float64 decides.

On a CPU, images are searched by l1 as bytes (`byte_search`) and features by l2 between bounds
(`knn`). FAISS, if installed, searches all on a GPU, and on a CPU what bytes cannot tell.
"""

from types import ModuleType

import torch
from torch import Tensor

from ganstoch.metrics.neighbours.approximate import ACTIVE
from ganstoch.metrics.neighbours.byte_search import (
    as_rows,
    exact_distances,
    first_of_each,
    float64_blocks,
    is_grey,
    mean_row,
    search_bytes,
)
from ganstoch.metrics.neighbours.installed import (
    free_gpus,
    gpu_resources,
    gpus,
    load_faiss,
    sharded,
)
from ganstoch.metrics.neighbours.knn import k_nearest
from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Neighbours, Norm

_CANDIDATES = 4
# Numbers in one float32 block of queries or bank, and of distances between them: 128 MiB each.
_SEARCH_ELEMENTS = 2**25


def nearest_neighbours(query: Tensor, bank: Tensor, *, norm: Norm) -> Neighbours:
    """For each query the nearest member of a bank, of equally near ones that of the lowest id.

    A distance is exact for its id. By FAISS, should more than four members be as near as float32
    can tell, the id is that of one of them.

    Args:
        query: shape (Q, F...), uint8, float32 or float64; trailing axes are flattened.
        bank: shape (B, F...), of the same kinds, as many numbers a row as the query.
        norm: "l1" or "l2".

    Returns:
        Distances (Q,) float64 in the units of the arguments, and ids (Q,) int64; on the CPU.

    Raises:
        ValueError: for an empty argument, rows of different lengths, another dtype, NaN or Inf, or
            values so large that distances overflow.
        UserError: if the installation of FAISS is broken.
    """
    if norm not in ("l1", "l2"):
        raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}")
    rows, members = as_rows(query=query, bank=bank)
    if (look := ACTIVE.get()) is not None and look.is_worth(rows, members):
        return _search(rows, members, norm=norm, faiss=None)
    faiss = load_faiss()
    on_gpu = faiss is not None and gpus(faiss) > 0
    if norm == "l1" and not on_gpu and is_grey(rows, members):
        nearest, unsure = search_bytes(rows, members)
        if unsure.any():
            rest = _search(rows[unsure], members, norm=norm, faiss=faiss)
            nearest.distances[unsure], nearest.ids[unsure] = rest.distances, rest.ids
        return nearest
    return _search(rows, members, norm=norm, faiss=faiss if on_gpu or norm == "l1" else None)


def _search(query: Tensor, bank: Tensor, *, norm: Norm, faiss: ModuleType | None) -> Neighbours:
    if faiss is None:
        nearest = k_nearest(query, bank, k=1, norm=norm)
        return Neighbours(distances=nearest.distances[:, 0], ids=nearest.ids[:, 0])
    # l2 is made of products, which lose least when the numbers are small, and so does a cast from
    # float64. Otherwise nothing is taken off, so that sums of bytes stay exact.
    wide = torch.float64 in (query.dtype, bank.dtype)
    origin = mean_row(bank, torch.device("cpu")) if norm == "l2" or wide else None
    members = first_of_each(bank)  # identical ones would fill all four places
    width = query.shape[1]
    bank_rows = max(1, min(len(members), _SEARCH_ELEMENTS // width))
    query_rows = max(1, min(_SEARCH_ELEMENTS // width, _SEARCH_ELEMENTS // bank_rows))
    distances = torch.full((len(query),), torch.inf, dtype=torch.float64)
    ids = torch.zeros(len(query), dtype=torch.int64)
    for some in progress_bar(torch.split(members, bank_rows), "nearest neighbours"):
        block = _to_float32(bank[some.to(bank.device)], origin)
        for start in range(0, len(query), query_rows):
            i = slice(start, start + query_rows)
            rows = _to_float32(query[i], origin)
            places = _propose(rows, block, k=min(_CANDIDATES, len(some)), norm=norm, faiss=faiss)
            if places.min() < 0:
                raise ValueError("values too large: distances overflow float32; rescale them")
            listed = some[places].sort(dim=1).values  # argmin takes the first of equals
            of_query = torch.arange(len(listed))[:, None].expand_as(listed).flatten()
            exact = exact_distances(query[i], bank, of_query, listed.flatten(), norm=norm)
            least = exact.view_as(listed).min(dim=1)
            better = least.values < distances[i]  # strictly: earlier blocks hold the lower ids
            lowest = listed.gather(1, least.indices[:, None])[:, 0]
            distances[i] = torch.where(better, least.values, distances[i])
            ids[i] = torch.where(better, lowest, ids[i])
    return Neighbours(distances=distances, ids=ids)


def _propose(query: Tensor, bank: Tensor, *, k: int, norm: Norm, faiss: ModuleType) -> Tensor:
    """Positions in the bank of about the k nearest, int64, (Q, k); -1 where there is none."""
    metric = faiss.METRIC_L1 if norm == "l1" else faiss.METRIC_L2
    rows, members, count = query.numpy(), bank.numpy(), gpus(faiss)
    if not count:
        return torch.from_numpy(faiss.knn(rows, members, k, metric=metric)[1])
    if free_gpus(faiss) > 1:
        index = faiss.IndexFlat(members.shape[1], metric)
        index.add(members)
        return torch.from_numpy(sharded(faiss, index).search(rows, k)[1])
    # FAISS may carry its own CUDA runtime, which does not know which device torch has chosen.
    device = min(torch.cuda.current_device() if torch.cuda.is_available() else 0, count - 1)
    nearest = faiss.knn_gpu(gpu_resources(faiss), rows, members, k, metric=metric, device=device)
    return torch.from_numpy(nearest[1])


def _to_float32(rows: Tensor, origin: Tensor | None) -> Tensor:
    if origin is None:
        return rows.to("cpu", torch.float32).contiguous()
    small = torch.empty(rows.shape, dtype=torch.float32)
    for block in float64_blocks(rows):
        small[block] = rows[block].to("cpu", torch.float64) - origin
    return small
