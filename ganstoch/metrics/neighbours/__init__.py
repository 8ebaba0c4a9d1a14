"""Exact nearest-neighbour search in l1 and l2."""

from __future__ import annotations

from ganstoch.metrics.neighbours.faiss_search import check_faiss, faiss_flavour
from ganstoch.metrics.neighbours.knn import k_nearest, kth_distances, within_set_nearest
from ganstoch.metrics.neighbours.nearest import nearest_neighbours
from ganstoch.metrics.neighbours.rows import first_equal, first_of_each, times_each
from ganstoch.metrics.neighbours.within_radii import WithinRadii, pairs_within

__all__ = [
    "WithinRadii",
    "check_faiss",
    "faiss_flavour",
    "first_equal",
    "first_of_each",
    "k_nearest",
    "kth_distances",
    "nearest_neighbours",
    "pairs_within",
    "times_each",
    "within_set_nearest",
]
