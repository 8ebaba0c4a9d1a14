"""Objectives: one file each, one line here each."""

from ganstoch.objectives.base import Objective, Pointwise
from ganstoch.objectives.hinge import Hinge
from ganstoch.objectives.least_squares import LeastSquares
from ganstoch.objectives.nonsaturating import NonSaturating
from ganstoch.objectives.relativistic import Relativistic
from ganstoch.objectives.relativistic_average import RelativisticAverage
from ganstoch.objectives.saturating import Saturating
from ganstoch.objectives.wasserstein import Wasserstein

__all__ = ["Hinge", "LeastSquares", "NonSaturating", "Objective", "Pointwise", "Relativistic"]
__all__ += ["RelativisticAverage", "Saturating", "Wasserstein"]
