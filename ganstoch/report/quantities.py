"""The columns of a world's table, their estimates over seeds, and gaps to published ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

__all__ = [
    "CONFIDENCE",
    "CONFIDENT",
    "GOOD",
    "KL",
    "MODES",
    "QUANTITIES",
    "Estimate",
    "Gap",
    "Quantity",
    "gap",
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with what is known of its error.

    Attributes:
        mean: mean over trials.
        error: standard error of the mean, or None where it is unknown.
        trials: how many trials it is a mean of, or None where that is unknown.
    """

    mean: float
    error: float | None = None
    trials: int | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Mean and standard error, sd / sqrt(trials) with ddof = 1; one value has no error."""
        error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        return cls(fmean(values), error, len(values))


@dataclass(frozen=True, slots=True)
class Gap:
    """How far one value is from a published one.

    Attributes:
        by: ours less theirs, in the column's unit.
        errors: its size in standard errors of the difference, of those errors that are known;
            None where none is, or where they are 0.
    """

    by: float
    errors: float | None


def gap(ours: Estimate, theirs: Estimate) -> Gap:
    """The difference, against sqrt(se_ours^2 + se_theirs^2)."""
    error = math.hypot(ours.error or 0.0, theirs.error or 0.0)
    by = ours.mean - theirs.mean
    return Gap(by, abs(by) / error if error else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A column of the table.

    Attributes:
        metric: its key in a record.
        name: its heading.
        unit: the unit of a difference, in words.
        decimals: digits behind the point.
        factor: from the record's unit to the column's.
        column: its name in CSV and in `PublishedRow`.
        more_is_better: the direction in which a published value is beaten.
    """

    metric: str
    name: str
    unit: str
    decimals: int
    column: str
    factor: float = 1.0
    more_is_better: bool = True


MODES = Quantity(metric="modes/count", name="modes", unit="modes", decimals=2, column="modes")
GOOD = Quantity(
    metric="modes/good_share",
    name="good %",
    unit="points",
    decimals=1,
    column="good_percent",
    factor=100.0,
)
KL = Quantity(
    metric="modes/reverse_kl",
    name="reverse KL",
    unit="nats",
    decimals=3,
    column="reverse_kl",
    more_is_better=False,
)
CONFIDENT = Quantity(
    metric="modes/confident_count",
    name="confident modes",
    unit="modes",
    decimals=1,
    column="confident_modes",
)
CONFIDENCE = Quantity(
    metric="modes/confidence", name="confidence", unit="", decimals=3, column="confidence"
)
QUANTITIES = (MODES, GOOD, KL)
"""The columns that others publish."""
