"""Exact nearest neighbours: a search proposes candidates, float64 arithmetic decides between them.

On a CPU, images are searched as bytes (`byte_search`), six to ten times faster than FAISS's l1
search on floats; everything else, and everything on a GPU, is searched by FAISS.

FAISS returns squared l2, from the expanded form |q|^2 + |b|^2 - 2<q, b> in float32. Near zero,
where a memorizing generator lives, that form has lost every digit: exact copies come out at a
distance above 0. So the index proposes and the original tensors decide.
"""

from __future__ import annotations

import importlib
from importlib.metadata import distributions
from types import ModuleType

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.neighbours.byte_search import (
    as_rows,
    exact_distances,
    first_of_each,
    fits_bytes,
    float64_blocks,
    search_bytes,
)
from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Neighbours, Norm

_CANDIDATES = 4
# Numbers in one float32 block of queries or bank, and of distances between them: 128 MiB each.
_SEARCH_ELEMENTS = 2**25
_GPU_SCRATCH_BYTES = 2**28

# One folder `faiss/` belongs to all of them: the last one installed wins, silently.
_DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")


def nearest_neighbours(query: Tensor, bank: Tensor, *, norm: Norm) -> Neighbours:
    """For each query the nearest member of the bank.

    Definition: distances[i] = min_j ||query_i - bank_j|| and ids[i] the lowest j that reaches it,
    with ||v|| = sum_f |v_f| (l1) or sqrt(sum_f v_f^2) (l2, the true root).

    On a CPU, l1 between grey levels in [0, 255] is decided on bytes, as far as they can tell
    (`search_bytes`). Otherwise FAISS, on a GPU where its build has one, else on the CPU, else
    torch, proposes four different members for each query and each block of the bank; their
    distances are computed anew in float64, so a distance is exact for its id. Should more than four
    be as near as float32 can tell, the id is that of one of them. Memory beyond the arguments stays
    under 1 GiB, plus 200 bytes for each row of the bank.

    Args:
        query: shape (Q, F...), uint8, float32 or float64, on any device; flattened.
        bank: shape (B, F...), of the same kinds, as many numbers a row as the query.
        norm: "l1" or "l2".

    Returns:
        Distances (Q,) float64 in the units of the arguments, and ids (Q,) int64; on the CPU.

    Raises:
        ValueError: for an empty argument, rows of different lengths, another dtype, NaN or Inf, or
            values so large that distances overflow float32.
        UserError: if the installation of FAISS is broken.
    """
    query, bank = as_rows(norm, query=query, bank=bank)
    faiss = load_faiss()
    on_gpu = faiss is not None and gpus(faiss) > 0
    if norm == "l2" or on_gpu or not (fits_bytes(query) and fits_bytes(bank)):
        return _search_floats(query, bank, norm=norm, faiss=faiss)
    nearest, unsure = search_bytes(query, bank)
    if unsure.any():
        rows = unsure.nonzero()[:, 0]
        rest = _search_floats(query[rows.to(query.device)], bank, norm=norm, faiss=faiss)
        nearest.distances[rows], nearest.ids[rows] = rest.distances, rest.ids
    return nearest


def _search_floats(
    query: Tensor, bank: Tensor, *, norm: Norm, faiss: ModuleType | None
) -> Neighbours:
    """By FAISS or torch, of rows (Q, F) and (B, F)."""
    # The expanded l2 loses least when the numbers are small, and so does a cast from float64.
    # Otherwise nothing is taken off, which leaves bytes whole and float32 sums over them exact.
    wide = torch.float64 in (query.dtype, bank.dtype)
    origin = _mean_row(bank) if norm == "l2" or wide else None

    # Identical members would fill all four places, so only the first of each kind is searched.
    members = first_of_each(bank)
    width = query.shape[1]
    bank_rows = max(1, min(len(members), _SEARCH_ELEMENTS // width))
    query_rows = max(1, min(_SEARCH_ELEMENTS // width, _SEARCH_ELEMENTS // bank_rows))
    distances = torch.full((len(query),), torch.inf, dtype=torch.float64)
    ids = torch.zeros(len(query), dtype=torch.int64)
    for some in progress_bar(torch.split(members, bank_rows), "nearest neighbours"):
        block = _to_float32(bank[some.to(bank.device)], origin)
        for start in range(0, len(query), query_rows):
            rows = slice(start, start + query_rows)
            positions = candidates(
                _to_float32(query[rows], origin),
                block,
                k=min(_CANDIDATES, len(some)),
                norm=norm,
                faiss=faiss,
            )
            if positions.min() < 0:
                raise ValueError("values too large: distances overflow float32; rescale them")
            near, nearest = _decide(query[rows], bank, some[positions], norm=norm)
            better = near < distances[rows]  # strictly: earlier blocks hold the lower ids
            distances[rows] = torch.where(better, near, distances[rows])
            ids[rows] = torch.where(better, nearest, ids[rows])
    return Neighbours(distances=distances, ids=ids)


def _decide(query: Tensor, bank: Tensor, ids: Tensor, *, norm: Norm) -> tuple[Tensor, Tensor]:
    """Exact distance and id of the nearest among the candidates (Q, k); ties to the lowest id."""
    ids = ids.sort(dim=1).values  # argmin takes the first of equals
    rows = torch.arange(len(ids))[:, None].expand_as(ids)
    distances = exact_distances(query, bank, rows.flatten(), ids.flatten(), norm=norm)
    distances = distances.view_as(ids)
    best = distances.argmin(dim=1, keepdim=True)
    return distances.gather(1, best)[:, 0], ids.gather(1, best)[:, 0]


def _mean_row(rows: Tensor) -> Tensor:
    """Mean over the rows, float64 on the CPU, shape (F,)."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for block in float64_blocks(rows):
        total += rows[block].to("cpu", torch.float64).sum(dim=0)
    return total / len(rows)


def _to_float32(rows: Tensor, origin: Tensor | None) -> Tensor:
    """A block of rows, less the origin, as contiguous float32 on the CPU."""
    if origin is None:
        return rows.to("cpu", torch.float32).contiguous()
    small = torch.empty(rows.shape, dtype=torch.float32)
    for block in float64_blocks(rows):
        small[block] = rows[block].to("cpu", torch.float64) - origin
    return small


def faiss_flavour() -> str:
    """What will search, in words: "gpu 1.15.1, 2 devices", "cpu 1.15.1", "none: torch fallback"."""
    faiss = load_faiss()
    if faiss is None:
        return "none: torch fallback"
    devices = gpus(faiss)
    if not devices:
        return f"cpu {faiss.__version__}"
    return f"gpu {faiss.__version__}, {devices} device{'s' if devices > 1 else ''}"


def load_faiss() -> ModuleType | None:
    """The module, or None where none is installed; `UserError` for a broken installation."""
    installed = [name for name in _DISTRIBUTIONS if any(distributions(name=name))]
    if len(installed) > 1:
        raise UserError(
            f"{' and '.join(installed)} are installed together and overwrite each other's files; "
            f"run: pip uninstall -y {' '.join(installed)}, then install one: "
            "pip install 'ganstoch[gpu]' or pip install 'ganstoch[cpu]'"
        )
    try:
        faiss = importlib.import_module("faiss")
        faiss.knn  # noqa: B018  # gone once one of two distributions was uninstalled
    except Exception as error:  # a GPU build without its CUDA wheels raises RuntimeError and others
        if isinstance(error, ModuleNotFoundError) and error.name == "faiss":
            return None
        raise UserError(
            f"faiss is installed but cannot be used ({error}); "
            "run: pip install --force-reinstall 'ganstoch[gpu]' (or 'ganstoch[cpu]')"
        ) from error
    return faiss


def gpus(faiss: ModuleType) -> int:
    """Number of GPUs that FAISS can use."""
    # Any GPU call aborts the whole process where there is no GPU, so both gates come first.
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def candidates(
    query: Tensor, bank: Tensor, *, k: int, norm: Norm, faiss: ModuleType | None
) -> Tensor:
    """Positions in the bank of about the k nearest, int64, shape (Q, k); -1 where there is none.

    Rows are float32, contiguous, on the CPU; without FAISS, torch searches.
    """
    if faiss is None:
        distances = torch.cdist(query, bank, p=1.0 if norm == "l1" else 2.0)
        least = distances.topk(k, dim=1, largest=False)
        return torch.where(torch.isfinite(least.values), least.indices, -1)
    metric = faiss.METRIC_L1 if norm == "l1" else faiss.METRIC_L2
    rows, members, count = query.numpy(), bank.numpy(), gpus(faiss)
    if not count:
        return torch.from_numpy(faiss.knn(rows, members, k, metric=metric)[1])
    # FAISS may carry its own CUDA runtime, which does not know which device torch has chosen.
    current = torch.cuda.current_device() if torch.cuda.is_available() else 0
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_GPU_SCRATCH_BYTES)  # by default it takes 1.5 GiB from training
    device = min(current, count - 1)
    return torch.from_numpy(
        faiss.knn_gpu(resources, rows, members, k, metric=metric, device=device)[1]
    )
