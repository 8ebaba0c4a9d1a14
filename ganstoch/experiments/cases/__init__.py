"""Training runs whose cause of trouble is known, by which the verdicts are judged."""

from ganstoch.experiments.cases.case import Case, Family
from ganstoch.experiments.cases.collapsing import collapsing
from ganstoch.experiments.cases.healthy import healthy, recovering
from ganstoch.experiments.cases.unbalanced import failing, unbalanced

__all__ = ["CASES", "Case", "Family"]

CASES: tuple[Case, ...] = (
    *healthy(),
    *recovering(),
    *collapsing(),
    *unbalanced(),
    *failing(),
)
"""Every labelled run, by its name."""
