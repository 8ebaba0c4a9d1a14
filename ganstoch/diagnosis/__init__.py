"""Signals of a generator in training, and the verdicts that follow from them; no input or output.

Needs nothing of our trainer: `measure` takes callables and tensors, `diagnose` takes its results.
"""

from ganstoch.diagnosis.instruments import References, Subject, measure, references
from ganstoch.diagnosis.signals import Signals
from ganstoch.diagnosis.verdicts import VERDICTS, Diagnosed, Finding, Verdict, diagnose

__all__ = [
    "VERDICTS",
    "Diagnosed",
    "Finding",
    "References",
    "Signals",
    "Subject",
    "Verdict",
    "diagnose",
    "measure",
    "references",
]
