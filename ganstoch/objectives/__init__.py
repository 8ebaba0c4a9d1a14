"""Objectives: one file each, one line here each."""

from ganstoch.objectives.base import Objective
from ganstoch.objectives.nonsaturating import NonSaturating

__all__ = ["NonSaturating", "Objective"]
