"""Nearest-neighbour search in l1 and l2: exact, but within `approximate_searches`."""

from ganstoch.metrics.neighbours.approximate import approximate_searches as approximate_searches
from ganstoch.metrics.neighbours.byte_search import first_equal as first_equal
from ganstoch.metrics.neighbours.byte_search import first_of_each as first_of_each
from ganstoch.metrics.neighbours.byte_search import times_each as times_each
from ganstoch.metrics.neighbours.installed import faiss_flavour as faiss_flavour
from ganstoch.metrics.neighbours.knn import k_nearest as k_nearest
from ganstoch.metrics.neighbours.knn import kth_distances as kth_distances
from ganstoch.metrics.neighbours.knn import within_set_nearest as within_set_nearest
from ganstoch.metrics.neighbours.nearest import nearest_neighbours as nearest_neighbours
from ganstoch.metrics.neighbours.within_radii import WithinRadii as WithinRadii
from ganstoch.metrics.neighbours.within_radii import pairs_within as pairs_within
