"""Training runs whose cause of trouble is known, by which the verdicts are judged."""

from ganstoch.runs.cases.case import Case, Family
from ganstoch.runs.cases.collapsing import collapsing
from ganstoch.runs.cases.healthy import healthy, recovering
from ganstoch.runs.cases.unbalanced import failing, unbalanced

__all__ = ["CASES", "Case", "Family"]

CASES: tuple[Case, ...] = (
    *healthy(),
    *recovering(),
    *collapsing(),
    *unbalanced(),
    *failing(),
)
"""Every labelled run, by its name."""
