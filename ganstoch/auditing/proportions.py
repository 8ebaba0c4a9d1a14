"""Whether generated images fall on classes and clusters as unseen real ones do.

Images that look like no real one (`appearance`, `distribution_shift`) are left out on either side:
they are another finding. Classes are those of a classifier (`label_shift`); near-duplicates are
kept apart in it, and together, and the larger p is taken. Clusters are those of k-means on training
images. Given the margins chi-squared, divided by the design effect of near-duplicates, is permuted
[1]; cells of less than five images are put together.

[1] Agresti 1992, "A survey of exact inference for contingency tables", Statistical Science 7.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.auditing.inputs import Role
from ganstoch.auditing.label_shift import label_shift
from ganstoch.auditing.searches import Searches, Space, sample_ids, take
from ganstoch.metrics.excess import Excess, design_effect, intraclass
from ganstoch.metrics.neighbours import first_equal, times_each
from ganstoch.rng import rng_for

_COUNTED = 20_000  # images of each set
_BANK = 20_000
_PER_CLUSTER = 40
_CLUSTERS = 16
_LEAST = 5
_PERMUTATIONS = 9999


@dataclass(frozen=True)
class Cell:
    """One class or cluster."""

    name: str  # the class, or "cluster 3"
    generated: float  # share of the generated images
    real: float  # share of unseen real images
    short: float  # chance of so few generated images by nature (Fisher)
    example: int  # id of the training image in its middle


@dataclass(frozen=True)
class Proportions:
    """Counts of generated and of unseen real images over classes or clusters."""

    cells: tuple[Cell, ...]  # in the order of their names
    p_value: float  # of the permutation test
    distance: float  # half the summed differences of the shares, beyond what chance gives
    generated: int  # images counted
    real: int
    by_class: bool

    def detectable(self, level: float, *, times: float = 1.0) -> float | None:
        """Share of the data that, left out as one cell, would be found short in 95 % of cases.

        By so many times as many images as there are.
        """
        real, generated = round(self.real * times), round(self.generated * times)
        for share in np.arange(1, 100) / 100:
            spread = math.sqrt(share * (1 - share) / real)
            few = int((share - 1.645 * spread) * real)
            test = Excess(few, real, 0, generated)
            if few > 0 and test.p_value <= level / len(self.cells):
                return float(share)
        return None


def proportions(
    space: Space, searches: Searches, *, labels: tuple[str, ...] | None, odd: dict[Role, Tensor]
) -> list[Proportions]:
    """Counts without odd images, by clusters and, where there are labels, by classes."""
    seed, held_out, mapped = space.seed, space.held_out, torch.arange(len(space.real))
    plain_real = (~odd["real"]).nonzero()[:, 0]
    plain_held_out = counted = None
    if held_out is not None:
        plain_held_out = take(held_out, (~odd["held_out"]).nonzero()[:, 0])
        if len(held_out) >= max(20, min(len(space.real) // 2, 200)):
            counted = plain_held_out
    if counted is None:
        mapped = sample_ids(len(mapped), len(mapped) // 2, seed=seed, part="proportions/half")
        counted = take(space.real, plain_real[~torch.isin(plain_real, mapped)])
    mapped = mapped[sample_ids(len(mapped), _BANK, seed=seed, part="proportions/map")]
    plain = take(space.generated, (~odd["generated"]).nonzero()[:, 0])
    made = space.sample(plain, _COUNTED, "proportions/generated")
    counted = space.sample(counted, _COUNTED, "proportions/real")
    if min(len(made), len(counted), len(mapped)) < 2 * _LEAST:
        return []
    # Of near-duplicates among the real images, and of sets in which all occur several times.
    first = first_equal(space.real)
    design = times_each(first) * design_effect(searches.groups[torch.unique(first)])
    given = space.real_groups
    if given is not None:
        design = searches.design
    counts = _by_clusters(space, mapped, made, counted, design=design)
    if labels is not None and len(set(labels)) > 1:
        part = "proportions/classes"
        real = plain_real[sample_ids(len(plain_real), _COUNTED, seed=seed, part=part)]
        names, groups = [labels[i] for i in real.tolist()], searches.groups[real]
        if given is not None:
            classes = torch.tensor(pd.get_dummies(pd.Series(names)).to_numpy(float))
            alike = intraclass(classes, given[real])
            design = max(design, 1 + (design_effect(given) - 1) * alike)
        counts += [_by_classes(space, names, real, made, plain_held_out, groups, design=design)]
    return counts


def _by_classes(
    space: Space,
    names: Sequence[str],
    ids: Tensor,
    made: Tensor,
    held_out: Tensor | None,
    groups: Tensor,
    *,
    design: float,
) -> Proportions:
    """Names, ids and groups are of the training images that are counted."""
    classes = sorted(set(names))
    of = torch.tensor([classes.index(name) for name in names])
    unseen = made[:0] if held_out is None else held_out
    rows = torch.cat([take(space.real, ids), unseen, made]).flatten(1).cpu().double()
    is_made = torch.arange(len(rows)) >= len(ids) + len(unseen)
    whole = 1.0 if space.groups is None else design
    shift = partial(label_shift, rows, of, is_made, design=whole, seed=space.seed)
    results = [shift(together=torch.arange(len(ids)))]
    if 1 < len(torch.unique(groups)) < len(groups):
        results += [shift(together=groups)]
    p_value, voted = max(results, key=itemgetter(0))
    examples = [int(ids[(of == i).nonzero()[0, 0]]) for i in range(len(classes))]
    sets = voted[is_made], voted[~is_made]
    return _compared(*sets, classes, examples, design=design, seed=space.seed, class_p=p_value)


def _by_clusters(
    space: Space, mapped: Tensor, made: Tensor, counted: Tensor, *, design: float
) -> list[Proportions]:
    from sklearn.cluster import MiniBatchKMeans  # takes a second to import
    from sklearn.exceptions import ConvergenceWarning

    count = min(_CLUSTERS, len(mapped) // _PER_CLUSTER, len(counted) // _PER_CLUSTER)
    if count < 2:
        return []
    rng = rng_for(space.seed, "evaluation", part="proportions/clusters")
    draw = int(torch.randint(2**31 - 1, (), generator=rng))
    kmeans = MiniBatchKMeans(n_clusters=count, n_init=3, random_state=draw)
    rows = take(space.real, mapped).flatten(1).cpu().float()
    with warnings.catch_warnings():  # fewer different images than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(rows.numpy())
    centres = torch.from_numpy(np.unique(kmeans.cluster_centers_, axis=0)).float()
    if len(centres) < 2:
        return []

    def nearest(images: Tensor) -> Tensor:
        blocks = (block.flatten(1).cpu().float() for block in torch.split(images, 2048))
        return torch.cat([torch.cdist(block, centres).argmin(1) for block in blocks])

    names = [f"cluster {i + 1}" for i in range(len(centres))]
    examples = mapped[torch.cdist(rows, centres).argmin(0)].tolist()
    sets = nearest(made), nearest(counted)
    return [_compared(*sets, names, examples, design=design, seed=space.seed)]


def _compared(
    made: Tensor,
    counted: Tensor,
    names: Sequence[str],
    examples: Sequence[int],
    *,
    design: float,
    seed: int,
    class_p: float | None = None,
) -> Proportions:
    """Counts of cells and their test; ``class_p`` is the p-value of classes, from their own."""
    table = np.stack([torch.bincount(of, minlength=len(names)).numpy() for of in (made, counted)])
    p_value, distance = _test(table, design=design, seed=seed)
    generated, real = map(int, table.sum(1))
    cells = []
    for name, example, of_made, of_real in zip(names, examples, *table, strict=True):
        # By whole groups of near-duplicates, as the chi-squared.
        test = Excess(int(of_real / design), max(1, int(real / design)), int(of_made), generated)
        shares = float(of_made / generated), float(of_real / real)
        cells.append(Cell(name, *shares, test.p_value, example))
    p_value = p_value if class_p is None else class_p
    return Proportions(tuple(cells), p_value, distance, generated, real, class_p is not None)


def _test(table: NDArray[np.int64], *, design: float, seed: int) -> tuple[float, float]:
    """The p-value of chi-squared, and the distance of the rows beyond chance."""
    small = table.sum(0) < _LEAST
    merged = np.concatenate([table[:, ~small], table[:, small].sum(1, keepdims=True)], axis=1)
    merged = merged[:, merged.sum(0) > 0]
    if merged.shape[1] < 2:
        return 1.0, 0.0
    rows, columns = merged.sum(1), merged.sum(0)
    first = np.random.default_rng(seed).multivariate_hypergeometric(
        columns, int(rows[0]), size=_PERMUTATIONS, method="marginals"
    )
    expected = columns * rows[0] / rows.sum()

    def chi_squared(counts: NDArray[np.int64]) -> Any:
        # The second row's deviations are the first's, against its own expectation.
        both = 1 / expected + 1 / (columns - expected)
        return ((counts - expected) ** 2 * both).sum(-1)

    def apart(counts: NDArray[np.int64]) -> Any:
        return np.abs(counts / rows[0] - (columns - counts) / rows[1]).sum(-1) / 2

    true = chi_squared(merged[0]) / design
    p_value = (1 + int((chi_squared(first) >= true - 1e-9).sum())) / (1 + _PERMUTATIONS)
    beyond = apart(merged[0]) ** 2 - (apart(first) ** 2).mean()
    return p_value, math.sqrt(max(0.0, beyond))
