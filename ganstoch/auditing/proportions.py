"""Whether generated images fall on classes and clusters as unseen real ones do.

A generator may leave out half of the classes and still have an image near every training image,
for in pixels a deer is near a ship, and a nearest neighbour asks only for one. So images are told
apart and counted, and the counts of generated images are held against those of unseen real ones.
Images that look like no real one (`appearance`, `distance`) are left out on either side: they
belong to another finding.

Classes, where the training images have them: a classifier that learns them is applied to all
images (`label_shift`). Near-duplicates among the training images would be too easy for it, if kept
apart, and too hard for that of the others, if kept together; both are done, and the larger p is
taken.

Clusters, where there are none and also where there are: k-means centres of training images, to the
nearest of which each image goes. Held-out images are counted against the generated ones; where they
are few, half of the training images, and the other half makes the centres. Given the margins
chi-squared is permuted, so that small counts need no rule of thumb [1]; cells of less than five
images are put together, and chi-squared is divided by the design effect of near-duplicates.

[1] Agresti 1992, "A survey of exact inference for contingency tables", Statistical Science 7.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.auditing.label_shift import label_shift
from ganstoch.auditing.searches import Searches, Space, sample_ids, take
from ganstoch.metrics.excess import Excess, design_effect
from ganstoch.metrics.neighbours import first_equal, times_each
from ganstoch.rng import rng_for

__all__ = ["Cell", "Proportions", "proportions"]

_COUNTED = 20_000
"""Images of each set that are counted."""
_BANK = 20_000
_PER_CLUSTER = 40
_CLUSTERS = 16
_LEAST = 5
_PERMUTATIONS = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One class or cluster.

    Attributes:
        name: the class, or "cluster 3".
        generated: share of the generated images, in [0, 1].
        real: share of unseen real images.
        short: chance of so few generated images by nature (Fisher).
        example: id of the training image in its middle.
    """

    name: str
    generated: float
    real: float
    short: float
    example: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportions:
    """Counts of generated and of unseen real images over the cells of one map.

    Attributes:
        cells: in the order of their names.
        p_value: of the permutation test, in (0, 1].
        distance: half the summed differences of the shares, beyond what chance gives, in [0, 1].
        generated, real: images counted.
        by_class: whether the cells are the data's own classes.
    """

    cells: tuple[Cell, ...]
    p_value: float
    distance: float
    generated: int
    real: int
    by_class: bool

    def detectable(self, level: float) -> float | None:
        """Share of the data that, left out as one cell, would be found short; None if none would.

        By Fisher's test at the level, shared among the cells, with a power of 95 %.
        """
        level /= len(self.cells)
        for hundredth in range(1, 100):
            share = hundredth / 100
            spread = math.sqrt(share * (1 - share) / self.real)
            few = int((share - 1.645 * spread) * self.real)
            test = Excess(
                count=few, total=self.real, usual=0, usual_total=self.generated
            )  # as many real ones and no generated one
            if few > 0 and test.p_value <= level:
                return share
        return None


def proportions(
    space: Space,
    searches: Searches,
    *,
    labels: tuple[str, ...] | None,
    odd_generated: Tensor,
    odd_real: Tensor,
    odd_held_out: Tensor,
) -> tuple[Proportions, ...]:
    """Counts by clusters and, where there are labels, by classes; of too few images nothing.

    Args:
        space: the sets' features.
        searches: of the same space.
        labels: class of each training image.
        odd_generated: generated images to leave out, bool, shape (M,).
        odd_real: training images that the same rules leave out, bool, shape (N,).
        odd_held_out: held-out images idem, bool, shape (L,) or empty.
    """
    seed, everyone = space.seed, torch.arange(len(space.real))
    held_out = space.held_out
    if held_out is not None and len(held_out) >= max(20, min(len(space.real) // 2, 200)):
        mapped, counted = everyone, held_out[(~odd_held_out).nonzero()[:, 0].to(held_out.device)]
    else:
        half = sample_ids(len(everyone), len(everyone) // 2, seed=seed, part="proportions/half")
        is_map = torch.zeros(len(everyone), dtype=torch.bool)
        is_map[half] = True
        mapped, rest = half, (~is_map & ~odd_real).nonzero()[:, 0]
        counted = take(space.real, rest)
    mapped = mapped[sample_ids(len(mapped), _BANK, seed=seed, part="proportions/map")]
    plain = (~odd_generated).nonzero()[:, 0]
    made = space.sample(take(space.generated, plain), _COUNTED, "proportions/generated")
    counted = space.sample(counted, _COUNTED, "proportions/real")
    if min(len(made), len(counted), len(mapped)) < 2 * _LEAST:
        return ()
    bank = take(space.real, mapped)
    # Of near-duplicates among the real images, and of sets in which all occur several times.
    first = first_equal(space.real)
    design = times_each(first) * design_effect(searches.groups[torch.unique(first)])
    counts = [_by_clusters(space, bank, mapped, made, counted, design=design)]
    if labels is not None and len(set(labels)) > 1:
        real = (~odd_real).nonzero()[:, 0]
        real = real[sample_ids(len(real), _COUNTED, seed=seed, part="proportions/classes")]
        unseen = (~odd_held_out).nonzero()[:, 0]
        counts.append(
            _by_classes(
                space,
                [labels[i] for i in real.tolist()],
                real,
                made,
                None if held_out is None else take(held_out, unseen),
                groups=searches.groups[real],
                design=design,
            )
        )
    return tuple(each for each in counts if each is not None)


def _by_classes(
    space: Space,
    names: Sequence[str],
    ids: Tensor,
    made: Tensor,
    held_out: Tensor | None,
    *,
    groups: Tensor,
    design: float,
) -> Proportions | None:
    """Names, ids and groups are of the training images that are counted."""
    classes = sorted(set(names))
    of = torch.tensor([classes.index(name) for name in names])
    unseen = made[:0] if held_out is None else held_out
    rows = torch.cat([take(space.real, ids), unseen, made]).flatten(1).cpu().double()
    is_made = torch.arange(len(rows)) >= len(ids) + len(unseen)
    separate = [
        torch.arange(len(ids)),
        *([groups] if len(set(groups.tolist())) < len(groups) else []),
    ]
    p_value, voted = max(
        (label_shift(rows, of, is_made, together=t, seed=space.seed) for t in separate),
        key=lambda result: result[0],
    )
    compared = _compared(
        voted[is_made],
        voted[~is_made],
        names=classes,
        examples=[int(ids[(of == i).nonzero()[0, 0]]) for i in range(len(classes))],
        design=design,
        seed=space.seed,
        by_class=True,
    )
    return replace(compared, p_value=p_value)


def _by_clusters(
    space: Space, bank: Tensor, ids: Tensor, made: Tensor, counted: Tensor, *, design: float
) -> Proportions | None:
    from sklearn.cluster import MiniBatchKMeans  # takes a second to import
    from sklearn.exceptions import ConvergenceWarning

    count = min(_CLUSTERS, len(bank) // _PER_CLUSTER, len(counted) // _PER_CLUSTER)
    if count < 2:
        return None
    rng = rng_for(space.seed, "evaluation", part="proportions/clusters")
    draw = int(torch.randint(2**31 - 1, (), generator=rng))
    kmeans = MiniBatchKMeans(n_clusters=count, n_init=3, random_state=draw)
    rows = bank.flatten(1).cpu().float().numpy()
    with warnings.catch_warnings():  # fewer different images than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(rows)
    centres = torch.from_numpy(np.unique(kmeans.cluster_centers_, axis=0)).float()
    if len(centres) < 2:
        return None

    def nearest(some: Tensor) -> Tensor:
        return torch.cat(
            [
                torch.cdist(b.flatten(1).cpu().float(), centres).argmin(1)
                for b in torch.split(some, 2048)
            ]
        )

    apart = torch.cdist(torch.from_numpy(rows), centres)
    return _compared(
        nearest(made),
        nearest(counted),
        names=[f"cluster {i + 1}" for i in range(len(centres))],
        examples=[int(ids[i]) for i in apart.argmin(0)],
        design=design,
        seed=space.seed,
        by_class=False,
    )


def _compared(
    made: Tensor,
    counted: Tensor,
    *,
    names: Sequence[str],
    examples: Sequence[int],
    design: float,
    seed: int,
    by_class: bool,
) -> Proportions:
    table = np.stack(
        [torch.bincount(of, minlength=len(names)).numpy() for of in (made, counted)]
    ).astype(np.int64)
    p_value, distance = _test(table, design=design, seed=seed)
    generated, real = table.sum(1)
    return Proportions(
        cells=tuple(
            Cell(
                name=name,
                generated=float(table[0, i] / generated),
                real=float(table[1, i] / real),
                # By whole groups of near-duplicates, as the chi-squared.
                short=Excess(
                    count=int(table[1, i] / design),
                    total=max(1, int(real / design)),
                    usual=int(table[0, i]),
                    usual_total=int(generated),
                ).p_value,
                example=examples[i],
            )
            for i, name in enumerate(names)
        ),
        p_value=p_value,
        distance=distance,
        generated=int(generated),
        real=int(real),
        by_class=by_class,
    )


def _test(table: NDArray[np.int64], *, design: float, seed: int) -> tuple[float, float]:
    """The p-value of chi-squared, and the distance of the rows beyond chance."""
    sizes = table.sum(0)
    small = sizes < _LEAST
    merged = np.concatenate([table[:, ~small], table[:, small].sum(1, keepdims=True)], axis=1)
    merged = merged[:, merged.sum(0) > 0]
    if merged.shape[1] < 2:
        return 1.0, 0.0
    rows, columns = merged.sum(1), merged.sum(0)
    rng = np.random.default_rng(seed)
    first = rng.multivariate_hypergeometric(
        columns, int(rows[0]), size=_PERMUTATIONS, method="marginals"
    )
    expected = columns * rows[0] / rows.sum()

    def chi_squared(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        # The second row's deviations are the first's, against its own expectation.
        both = 1 / expected + 1 / (columns - expected)
        squared: NDArray[np.float64] = ((counts - expected) ** 2 * both).sum(-1)
        return squared

    def apart(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        gap: NDArray[np.float64] = np.abs(counts / rows[0] - (columns - counts) / rows[1]).sum(-1)
        return gap / 2

    true = chi_squared(merged[0]) / design
    p_value = (1 + int((chi_squared(first) >= true - 1e-9).sum())) / (1 + _PERMUTATIONS)
    beyond = float(apart(merged[0])) ** 2 - float((apart(first) ** 2).mean())
    return p_value, math.sqrt(max(0.0, beyond))
