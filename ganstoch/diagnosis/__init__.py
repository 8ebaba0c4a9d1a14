"""Signals of a generator in training, by any trainer, and the verdicts that follow from them."""

from ganstoch.diagnosis.history import History
from ganstoch.diagnosis.rules import Verdict
from ganstoch.diagnosis.signals import Networks, References, Signals, measure, references
from ganstoch.diagnosis.verdicts import VERDICTS, Diagnosed, Finding, diagnose

__all__ = ["VERDICTS", "Diagnosed", "Finding", "History", "Networks", "References", "Signals"]
__all__ += ["Verdict", "diagnose", "measure", "references"]
