"""Searches of sets too large for all pairs: an index proposes, exact distances decide.

Members are sorted into lists around centroids, and a query looks at those in the lists nearest to
it [1]: FAISS's IndexIVFFlat, by l2 whatever the norm. Float64 distances of several times k of them
decide. How many lists are looked at is chosen on some queries and recall measured on others, both
against the exact search. Where too many lists are needed, as among noise, all pairs are searched.

[1] Sivic and Zisserman 2003, "Video Google: A text retrieval approach to object matching in
videos", ICCV.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.neighbours.byte_search import (
    exact_distances,
    float64_blocks,
    least_first,
    mean_row,
)
from ganstoch.metrics.neighbours.installed import load_faiss, sharded
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Neighbours, Norm

_LEAST = 10_000  # queries, and members: fewer are searched exactly, which is as fast
_SLAB_ELEMENTS = 2**26  # of members in one index, 256 MiB of float32
_TIMES = {"l1": 32, "l2": 8}  # candidates for each of k: more where the index errs in the norm
_GPU_CANDIDATES = 2048  # the most that FAISS lists on a GPU
_LISTS = 4  # times the root of the number of members
_TRAINING, _ITERATIONS = 20, 5  # members for each list that k-means sees, and how often
_SCANNED = 16  # one of so many lists: looking at more takes as long as all pairs
_GOAL = 0.99  # recall that the number of lists is chosen for
_TRIED = 512  # queries: it is chosen on half of them, recall measured on the others

Exact = Callable[..., Neighbours]  # (query, bank, *, k, norm, own=None): of all, (Q, k), ascending


@dataclass(frozen=True, eq=False)
class FirstLook:
    """How searches are approximated, and the recall of each so far, a share of the k nearest."""

    seed: int  # of centroids and samples
    recalls: list[float] = field(default_factory=list)

    def is_worth(self, query: Tensor, bank: Tensor) -> bool:
        """Whether both sets are large enough."""
        return min(len(query), len(bank)) >= _LEAST

    def nearest(
        self,
        query: Tensor,
        bank: Tensor,
        *,
        k: int,
        norm: Norm,
        exact: Exact,
        own: Tensor | None = None,
    ) -> Neighbours:
        """About the k nearest of rows (Q, F) among members (B, F), without a query's own, (Q,).

        Distances (Q, k) are exact for their ids, ascending; ties by the lowest id that was found.
        """
        rng = rng_for(self.seed, "evaluation", part="first look")
        tried = without_replacement(len(query), min(_TRIED, len(query)), rng)
        choosing, judging = tried[::2], tried[1::2]
        wanted = k + (own is not None)  # a query's own is found too, and passed over
        size, found = max(1, _SLAB_ELEMENTS // bank.shape[1]), []
        for slab in torch.split(bank, size):
            most = min(wanted, len(slab))
            found.append(self._in_slab(query, slab, choosing, k=most, norm=norm, exact=exact))
        distances = torch.cat([near.distances for near in found], dim=1)
        ids = torch.cat([near.ids + i * size for i, near in enumerate(found)], dim=1)
        if own is not None:
            distances.masked_fill_(ids == own[:, None], torch.inf)
        near = least_first(distances, ids, k=k)
        some = None if own is None else own[judging]
        truth = exact(_take(query, judging), bank, k=k, norm=norm, own=some)
        self.recalls.append(recall(near.distances[judging], truth.distances))
        return near

    def _in_slab(
        self, query: Tensor, slab: Tensor, choosing: Tensor, *, k: int, norm: Norm, exact: Exact
    ) -> Neighbours:
        some = _take(query, choosing)
        truth = exact(some, slab, k=k, norm=norm).distances
        lists = Lists(slab, seed=self.seed)
        while recall(lists.nearest(some, k=k, norm=norm).distances, truth) < _GOAL:
            lists.index.nprobe *= 2
            if lists.index.nprobe * _SCANNED > lists.index.nlist:
                del lists  # for its memory
                return exact(query, slab, k=k, norm=norm)
        if _TIMES[norm] * k <= _GPU_CANDIDATES:
            lists.index = sharded(_faiss(), lists.index)
        near = lists.nearest(query, k=k, norm=norm)
        short = near.distances[:, -1].isinf().nonzero()[:, 0]  # of members: lists are too small
        if len(short):
            rest = exact(_take(query, short), slab, k=k, norm=norm)
            near.distances[short], near.ids[short] = rest.distances, rest.ids
        return near


class Lists:
    """Rows (B, F) in about 4 sqrt(B) lists; a query looks at ``index.nprobe`` of them, first 1."""

    def __init__(self, bank: Tensor, *, seed: int) -> None:
        faiss, self._bank = _faiss(), bank
        self._origin = mean_row(bank, torch.device("cpu"))
        low, high = torch.aminmax(bank)
        self._scale = (high.double() - low.double()).item() or 1.0
        width, rng = bank.shape[1], rng_for(seed, "evaluation", part="centroids")
        count = min(round(_LISTS * math.sqrt(len(bank))), len(bank))
        some = without_replacement(len(bank), min(_TRAINING * count, len(bank)), rng)
        self.index: Any = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, count)
        clustering = self.index.cp
        clustering.seed = seed % 2**31
        clustering.niter, clustering.min_points_per_centroid = _ITERATIONS, 1
        self.index.train(self._floats(_take(bank, some)))
        for block in progress_bar(float64_blocks(bank), "sorting into lists"):
            self.index.add(self._floats(bank[block]))

    def nearest(self, query: Tensor, *, k: int, norm: Norm) -> Neighbours:
        """The k nearest in the lists looked at, (Q, k); at infinity where these hold fewer."""
        distances = torch.empty(len(query), k, dtype=torch.float64)
        ids = torch.empty(len(query), k, dtype=torch.int64)
        size = min(_TIMES[norm] * k, len(self._bank))
        for i in progress_bar(float64_blocks(query), "nearest in lists"):
            listed = torch.from_numpy(self.index.search(self._floats(query[i]), size)[1])
            row, place = (listed >= 0).nonzero(as_tuple=True)  # -1 is none
            members = listed[row, place]
            exact = torch.full(listed.shape, torch.inf, dtype=torch.float64)
            exact[row, place] = exact_distances(query[i], self._bank, row, members, norm=norm)
            near = least_first(exact, listed.clamp_(min=0), k=k)
            distances[i], ids[i] = near.distances, near.ids
        return Neighbours(distances=distances, ids=ids)

    def _floats(self, rows: Tensor) -> Any:
        """Moved and scaled, for float32 loses least of small numbers."""
        return (rows.to("cpu", torch.float64) - self._origin).div_(self._scale).float().numpy()


# How searches are approximated; None for exact ones.
ACTIVE: ContextVar[FirstLook | None] = ContextVar("first look", default=None)


@contextmanager
def approximate_searches(*, seed: int) -> Iterator[FirstLook]:
    """Within, large searches of nearest neighbours are approximate; a UserError without FAISS."""
    _faiss()
    look = FirstLook(seed)
    token = ACTIVE.set(look)
    try:
        yield look
    finally:
        ACTIVE.reset(token)


def recall(found: Tensor, truth: Tensor) -> float:
    """Share of the k nearest that were found, by their distances (Q, k), ascending."""
    return (found <= truth).double().mean().item()


def _faiss() -> ModuleType:
    if (faiss := load_faiss()) is None:
        fix = "run: pip install 'ganstoch[cpu]' (or 'ganstoch[gpu]')"
        raise UserError(f"approximate searches need FAISS; {fix}")
    return faiss


def _take(rows: Tensor, ids: Tensor) -> Tensor:
    return rows[ids.to(rows.device)]
