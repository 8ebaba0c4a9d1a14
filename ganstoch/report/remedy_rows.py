"""Records to remedies by stochasticity, and which remedies do more than removing chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ganstoch.errors import UserError
from ganstoch.records import Record
from ganstoch.report.paper import Scores, title
from ganstoch.report.rows import Baseline, Row, blocks, mean
from ganstoch.report.words import enumerate_words, share
from ganstoch.report.world_rows import natural, remedy_of

__all__ = ["DIRECTIONS", "Column", "Direction", "RemedyTable", "findings", "remedy_tables", "value"]

Direction = Literal["overfitting", "mode_drop"]

DIRECTIONS: tuple[tuple[Direction, str], ...] = (
    ("overfitting", "overfitting"),
    ("mode_drop", "mode drop"),
)
"""What is tabulated, and its name."""


class Column(NamedTuple):
    """How much chance a setting leaves in."""

    n: int
    m: int
    noise: float
    bank: int | None

    @property
    def chance(self) -> bool:
        """Whether chance is left in; without it every image and latent is in every step."""
        return (self.m, self.noise, self.bank) != (self.n, 0.0, self.n)

    @property
    def words(self) -> str:
        """A short heading: ``n/16``, ``n, noise 0.5``, ``n/4, fresh z``."""
        parts = [share(self.n, self.m)]
        if self.noise:
            parts.append(f"noise {self.noise:g}")
        if self.bank != self.n:
            parts.append("fresh z" if self.bank is None else f"k = {self.bank:,}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyTable:
    """One data set's remedies.

    Attributes:
        dataset: name of the source.
        preset: the preset all its runs were made from.
        n: images in the subset.
        baseline: held-out real images, or None where the source has none.
        remedies: labels, plain first, then by alphabet.
        columns: noise-free from the largest m to the smallest, then the noisy ones.
        cells: what was run.
    """

    dataset: str
    preset: str
    n: int
    baseline: Baseline | None
    remedies: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: dict[tuple[str, Column], Row]

    @property
    def heading(self) -> str:
        """Its name and size."""
        return f"{title(self.dataset)} (n = {self.n:,})"

    def change(self, remedy: str, column: Column, direction: Direction) -> float | None:
        """A cell relative to plain in the same column, e.g. -0.1 for a tenth less; None if unknown.

        Plain itself has no change.
        """
        ours, plain = self.cells.get((remedy, column)), self.cells.get(("plain", column))
        if remedy == "plain" or ours is None or plain is None:
            return None
        before = value(plain.mean, direction)
        return value(ours.mean, direction) / before - 1.0 if before > 0 else None


def value(scores: Scores, direction: Direction) -> float:
    """A direction's mean distance, in grey levels."""
    return scores.overfitting_mean if direction == "overfitting" else scores.mode_drop_mean


def remedy_tables(records: Sequence[Record]) -> tuple[RemedyTable, ...]:
    """Groups records into tables, datasets in the order of their first record.

    Raises:
        UserError: if there are none, if presets or subset sizes are mixed in a dataset, if two
            records are of the same run, or if one lacks a value.
    """
    if not records:
        raise UserError("no finished runs to report; run the sweep first, or check the folder")
    found: dict[str, dict[str, list[Record]]] = {}
    for run in records:
        found.setdefault(run.dataset, {}).setdefault(remedy_of(run), []).append(run)
    return tuple(_table(dataset, remedies) for dataset, remedies in found.items())


def _table(dataset: str, remedies: dict[str, list[Record]]) -> RemedyTable:
    labels = sorted(remedies, key=natural)
    grouped = {label: blocks(remedies[label])[0] for label in labels}
    for what, values in (
        ("presets", sorted({block.preset for block in grouped.values()})),
        ("subset sizes n", [f"{n:,}" for n in sorted({block.n for block in grouped.values()})]),
    ):
        if len(values) > 1:
            raise UserError(
                f"{dataset} has runs of several {what}: {', '.join(values)}; they share no table, "
                "report each from a folder of its own"
            )
    cells = {
        (label, Column(row.n, row.m, row.noise, row.bank)): row
        for label, block in grouped.items()
        for row in block.rows
    }
    held: dict[int, list[Scores]] = {}
    for block in grouped.values():
        for seed, scores in (block.baseline.by_seed if block.baseline else {}).items():
            held.setdefault(seed, []).append(scores)
    first = grouped[labels[0]]
    return RemedyTable(
        dataset=dataset,
        preset=first.preset,
        n=first.n,
        # Every remedy of a seed measures the same held-out images.
        baseline=Baseline({seed: mean(held[seed]) for seed in sorted(held)}) if held else None,
        remedies=tuple(labels),
        columns=tuple(sorted({column for _, column in cells}, key=_order)),
        cells=cells,
    )


def _order(column: Column) -> tuple[float, int, float]:
    return column.noise, -column.m, math.inf if column.bank is None else column.bank


_Compared = dict[str, list[tuple[Column, Row, Row]]]
"""By label: a column, the remedy's row in it, and the plain row it is held against."""


def findings(table: RemedyTable) -> str:
    """Which remedies reduce mode drop, and which do so beyond what removing chance does.

    A remedy helps against chance if it is below plain in the same column with chance, and does
    more than removing chance if it is below plain at m = n. Where both sides have several seeds a
    gap counts if it is larger than the standard deviation of either; where one side has several,
    than that side's.
    """
    others = [label for label in table.remedies if label != "plain"]
    if "plain" not in table.remedies:
        return "There is no plain row to compare the remedies with."
    if not others:
        return "No remedy stands beside plain."
    plain = {column: row for (label, column), row in table.cells.items() if label == "plain"}
    removed = next((row for column, row in plain.items() if not column.chance), None)
    against_same: _Compared = {label: [] for label in others}
    against_removed: _Compared = {label: [] for label in others}
    for label in others:
        for column in table.columns:
            row = table.cells.get((label, column))
            if row is not None and column.chance and column in plain:
                against_same[label].append((column, row, plain[column]))
            if row is not None and removed is not None:
                against_removed[label].append((column, row, removed))
    sentences = []
    if any(against_same.values()):
        sentences.append(
            _verdict(
                "With chance left in, mode drop is below plain's in the same column", against_same
            )
        )
    else:
        sentences.append("No remedy was run with chance left in where plain was too.")
    if removed is None:
        sentences.append(
            "Whether a remedy does more than removing chance is unknown: plain was not run at "
            "m = n without noise."
        )
    else:
        level = f"{removed.mean.mode_drop_mean:.2f}"
        claim = f"Beyond what removing chance does (plain at m = n: {level}), it is lower"
        sentences.append(_verdict(claim, against_removed))
    pairs = [each for side in (against_same, against_removed) for each in _flat(side)]
    return " ".join([*sentences, *_seeds(pairs)])


def _flat(compared: _Compared) -> list[tuple[Row, Row]]:
    return [(ours, plain) for found in compared.values() for _, ours, plain in found]


def _verdict(claim: str, compared: _Compared) -> str:
    """``claim for packing2 (n/16, n/256); not for unrolled5.``; what was not run is not named."""
    below = {
        label: [column.words for column, ours, plain in found if _lower(ours, plain)]
        for label, found in compared.items()
        if found
    }
    yes = [f"{label} ({'; '.join(words)})" for label, words in below.items() if words]
    no = [label for label, words in below.items() if not words]
    text = f"{claim} for {enumerate_words(yes) if yes else 'no remedy'}"
    return f"{text}; not for {enumerate_words(no)}." if yes and no else f"{text}."


def _lower(ours: Row, plain: Row) -> bool:
    found = plain.mean.mode_drop_mean - ours.mean.mode_drop_mean
    spreads = [row.spread.mode_drop_mean for row in (ours, plain) if row.spread is not None]
    return found > max([0.0, *spreads])


def _seeds(pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """What is known of the spread behind the comparisons."""
    if not pairs:
        return []
    known = [row.spread is not None for pair in pairs for row in pair]
    return [_SEVERAL if all(known) else _MIXED if any(known) else _SINGLE]


_SINGLE = "One seed a row: the spread is unknown, and any gap counts."
_SEVERAL = "A gap counts where it is larger than the standard deviation over seeds of either side."
_MIXED = f"{_SEVERAL} Where a side has one seed its spread is unknown."
