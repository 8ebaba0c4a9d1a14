"""The history of a run: signals go in, verdicts come out."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

from ganstoch.diagnosis.rules import Verdict, quality
from ganstoch.diagnosis.signals import Signals
from ganstoch.diagnosis.verdicts import FATAL, PERSIST, Diagnosed, Finding, Known, diagnose


def verdict_of(
    history: Sequence[Signals], diagnosed: Diagnosed | None
) -> Verdict | Literal["cannot_tell"]:
    """The gravest finding's; "healthy" where samples were seen at three looks and the last."""
    if diagnosed is not None and diagnosed.findings:
        return diagnosed.verdict
    seen = [signals.closeness is not None for signals in history]
    return "healthy" if sum(seen) >= PERSIST and seen[-1] else "cannot_tell"


class History:
    """Collects a run's signals and draws the verdict after each; ``on`` are those to act on."""

    def __init__(self, on: Sequence[Verdict] = FATAL) -> None:
        self.on = tuple(on)
        self.signals: list[Signals] = []
        self.diagnosed: Diagnosed | None = None  # what follows from the history
        self.is_new = False  # whether the last signals have changed the verdict
        self.is_best = False  # whether the last signals are of the best images so far
        self.newly_due: tuple[Finding, ...] = ()  # to act on, and not at the measurement before
        self._verdict = ""
        self._due: list[str] = []
        self._known: Known = {}
        self._best = math.inf

    @property
    def is_due(self) -> bool:
        """Whether there is a finding to act on."""
        return self.diagnosed is not None and bool(self.diagnosed.due(self.on))

    def cut(self, iteration: int) -> None:
        """Forgets what was measured from an iteration on, as a run that goes back undoes it."""
        self.signals = [signals for signals in self.signals if signals.iteration < iteration]
        self._known = {}
        self.diagnosed = diagnose(self.signals, self._known) if self.signals else None
        due = self.diagnosed.due(self.on) if self.diagnosed is not None else ()
        self._due = [finding.verdict for finding in due]
        self._best = min(map(quality, self.signals), default=math.inf)

    def add(self, signals: Signals) -> Diagnosed:
        """Takes up a measurement, in place of one of the same iteration; returns the diagnosis."""
        if self.signals and self.signals[-1].iteration == signals.iteration:
            self._known.pop(len(self.signals), None)
            self.signals.pop()
        # Where the first number that was not finite came from stays known.
        if self.signals and (broken := self.signals[-1].broken):
            signals = dataclasses.replace(signals, broken=broken)
        self.signals.append(signals)
        diagnosed = self.diagnosed = diagnose(self.signals, self._known)
        self.is_new, self._verdict = diagnosed.verdict != self._verdict, diagnosed.verdict
        due = diagnosed.due(self.on)
        self.newly_due = tuple(finding for finding in due if finding.verdict not in self._due)
        self._due = [finding.verdict for finding in due]
        self.is_best = quality(signals) < self._best
        self._best = min(self._best, quality(signals))
        return diagnosed

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {
            "history": [dataclasses.asdict(signals) for signals in self.signals],
            "told": self._verdict,
            "due": self._due,
            "best_quality": self._best,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the history of another run."""
        self.signals = [Signals(**entry) for entry in state_dict["history"]]
        self._known = {}
        self.diagnosed = diagnose(self.signals, self._known) if self.signals else None
        self._verdict, self._due = state_dict["told"], state_dict["due"]
        self._best = state_dict["best_quality"]
