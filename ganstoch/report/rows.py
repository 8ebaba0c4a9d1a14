"""Records to rows: one row per (dataset, m, noise, bank) over its seeds, one block per dataset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import NamedTuple

from ganstoch.errors import UserError
from ganstoch.records import Record
from ganstoch.report.paper import PaperRow, Scores, lookup

__all__ = ["Baseline", "Block", "Row", "RunKey", "blocks", "mean", "run_key", "spread"]


class RunKey(NamedTuple):
    """What tells one run of a table from another."""

    dataset: str
    m: int
    noise: float
    bank: int | None
    seed: int


def run_key(record: Record) -> RunKey:
    """The key of a record's run."""
    return RunKey(record.dataset, record.m, record.noise, record.bank, record.seed)


def mean(scores: Iterable[Scores]) -> Scores:
    """Means over seeds, column by column."""
    return Scores.of(fmean(column) for column in _columns(scores))


def spread(scores: Iterable[Scores]) -> Scores | None:
    """Sample standard deviations over seeds (ddof = 1), or None for fewer than two seeds."""
    columns = _columns(scores)
    return Scores.of(stdev(column) for column in columns) if len(columns[0]) > 1 else None


def _columns(scores: Iterable[Scores]) -> list[tuple[float, ...]]:
    return list(zip(*(each.values() for each in scores), strict=True))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the same setting under one or more seeds.

    Attributes:
        runs: its records, by rising seed; they differ in nothing but the seed.
    """

    runs: tuple[Record, ...]

    @property
    def dataset(self) -> str:
        """Name of the source of images."""
        return self.runs[0].dataset

    @property
    def n(self) -> int:
        """Images in the subset."""
        return self.runs[0].n

    @property
    def m(self) -> int:
        """Logical mini-batch size."""
        return self.runs[0].m

    @property
    def noise(self) -> float:
        """Variance of the noise on the latents."""
        return self.runs[0].noise

    @property
    def bank(self) -> int | None:
        """Number of fixed latents, or None for fresh ones."""
        return self.runs[0].bank

    @property
    def preset(self) -> str:
        """Name of the preset."""
        return self.runs[0].preset

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, rising."""
        return tuple(run.seed for run in self.runs)

    @property
    def by_seed(self) -> dict[int, Scores]:
        """The six values of every seed."""
        return {run.seed: Scores.read(run.metrics, where=_name(run)) for run in self.runs}

    @property
    def mean(self) -> Scores:
        """Means over the seeds."""
        return mean(self.by_seed.values())

    @property
    def spread(self) -> Scores | None:
        """Sample standard deviations over the seeds, None for one seed."""
        return spread(self.by_seed.values())

    @property
    def converged(self) -> int:
        """How many seeds converged; the others hit the cap."""
        return sum(run.converged for run in self.runs)

    @property
    def paper(self) -> PaperRow | None:
        """The published row with the same n / m and noise; the paper's bank always has k = n."""
        if self.bank != self.n:
            return None
        return lookup(self.dataset, n_over_m=self.n / self.m, noise=self.noise)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Held-out real images in the generator's place.

    Attributes:
        by_seed: the six values of every seed that has them.
    """

    by_seed: dict[int, Scores]

    @property
    def mean(self) -> Scores:
        """Means over the seeds."""
        return mean(self.by_seed.values())

    @property
    def spread(self) -> Scores | None:
        """Sample standard deviations over the seeds, None for one seed."""
        return spread(self.by_seed.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A dataset's part of the table.

    Attributes:
        dataset: name of the source of images.
        preset: the preset all its runs were made from.
        n: images in the subset of all its runs.
        baseline: held-out real images, or None where the source has none.
        rows: noise-free rows from the largest m to the smallest, then the noisy ones.
    """

    dataset: str
    preset: str
    n: int
    baseline: Baseline | None
    rows: tuple[Row, ...]

    def twin(self, row: Row) -> Row | None:
        """The noise-free row with the same m and bank as a noisy row, if there is one."""
        for other in self.rows:
            if row.noise and not other.noise and (other.m, other.bank) == (row.m, row.bank):
                return other
        return None


def blocks(records: Sequence[Record]) -> tuple[Block, ...]:
    """Groups records into the table's blocks, datasets in the order of their first record.

    Raises:
        UserError: if there are none, if presets or subset sizes are mixed in a dataset, if two
            records are of the same run, or if one lacks a value.
    """
    if not records:
        raise UserError("no finished runs to report; run the sweep first, or check the folder")
    by_dataset: dict[str, list[Record]] = {}
    for record in records:
        by_dataset.setdefault(record.dataset, []).append(record)
    return tuple(_block(dataset, runs) for dataset, runs in by_dataset.items())


def _block(dataset: str, runs: Sequence[Record]) -> Block:
    for what, found in (
        ("presets", sorted({run.preset for run in runs})),
        ("subset sizes n", [f"{n:,}" for n in sorted({run.n for run in runs})]),
    ):
        if len(found) > 1:
            raise UserError(
                f"{dataset} has runs of several {what}: {', '.join(found)}; they share no table, "
                "report each from a folder of its own"
            )
    groups: dict[tuple[int, float, int | None], list[Record]] = {}
    for run in runs:
        groups.setdefault((run.m, run.noise, run.bank), []).append(run)
    for group in groups.values():
        group.sort(key=lambda run: run.seed)
        for first, second in pairwise(group):
            if first.seed == second.seed:
                raise UserError(f"{_name(first)} was given twice; leave one of its folders out")
    # More latents mean more chance, so a bank of n comes first and fresh latents come last.
    order = sorted(
        groups, key=lambda key: (key[1], -key[0], math.inf if key[2] is None else key[2])
    )
    return Block(
        dataset=dataset,
        preset=runs[0].preset,
        n=runs[0].n,
        baseline=_baseline(runs),
        rows=tuple(Row(tuple(groups[key])) for key in order),
    )


def _baseline(runs: Sequence[Record]) -> Baseline | None:
    by_seed: dict[int, list[Scores]] = {}
    for run in runs:
        if run.baseline:
            scores = Scores.read(run.baseline, where=f"the baseline of {_name(run)}")
            by_seed.setdefault(run.seed, []).append(scores)
    # Runs of one seed measure the same held-out images; the mean only matters if they did not.
    return Baseline({s: mean(by_seed[s]) for s in sorted(by_seed)}) if by_seed else None


def _name(run: Record) -> str:
    noise = f", noise {run.noise:g}" if run.noise else ""
    return f"the run {run.dataset}, m = {run.m}{noise}, seed {run.seed}"
