"""From the history of the signals to a verdict with its evidence, and what may be done.

A verdict needs the same finding at several moments in a row: single measurements of a game that
swings by nature say little. The discriminator's loss alone decides nothing: it may be near 0 from
the first iterations of a run whose images go on improving for tens of thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganstoch.diagnostics.rules import RULES, Verdict
from ganstoch.diagnostics.signals import Signals

__all__ = ["FATAL", "SURE", "VERDICTS", "Diagnosed", "Finding", "Verdict", "diagnose"]

PERSIST = 3
"""Moments in a row at which a finding must hold."""

SURE = 0.98
"""How sure a verdict must be to be acted on: six moments in a row. Some alarms pass."""

VERDICTS: tuple[Verdict, ...] = (*(rule.verdict for rule in RULES), "healthy")
"""All verdicts, the gravest first."""

FATAL: tuple[Verdict, ...] = (
    "numerical",
    "diverged",
    "complete_collapse",
    "generator_ignores_z",
    "vanishing_gradient",
    "discriminator_wins",
    "generator_wins",
)
"""Those after which training goes nowhere; the others leave a generator that may be of use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        verdict: its name.
        since: iteration of the first moment at which it was seen, without a break since.
        sure: 1 - 2^-k after k moments in a row, 1 for what needs no repetition.
        evidence: the signals that say so, each as "name value (what is usual)".
        remedies: what is known to help, names of packaged remedies or settings.
    """

    verdict: Verdict
    since: int
    sure: float
    evidence: tuple[str, ...]
    remedies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """What the signals say at one moment.

    Attributes:
        iteration: of the moment.
        findings: all of them, the gravest first; none if all is well.
    """

    iteration: int
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest finding's, or "healthy"."""
        return self.findings[0].verdict if self.findings else "healthy"

    def calls_for_action(self, on: Sequence[Verdict] = FATAL) -> bool:
        """Whether the verdict is one of these, and sure enough to act on."""
        return self.verdict in on and self.findings[0].sure >= SURE

    @property
    def words(self) -> str:
        """All of it in one line."""
        if not self.findings:
            return f"diagnosis at iteration {self.iteration}: healthy"
        first = self.findings[0]
        also = ", ".join(finding.verdict for finding in self.findings[1:])
        return (
            f"diagnosis at iteration {self.iteration}: {first.verdict} since iteration "
            f"{first.since} (sure {first.sure:.0%}): {'; '.join(first.evidence)}"
            + (f"; also {also}" if also else "")
            + (f"; try {', '.join(first.remedies)}" if first.remedies else "")
        )


def diagnose(history: Sequence[Signals]) -> Diagnosed:
    """The verdict at the last moment of a history.

    Args:
        history: signals in order of iteration, at least one, all from one run.
    """
    findings = []
    for rule in RULES:
        needed = 1 if rule.at_once else PERSIST
        stretch = 0
        for end in range(len(history), 0, -1):
            if not rule.holds(history[:end]):
                break
            stretch += 1
        if stretch >= needed:
            findings.append(
                Finding(
                    verdict=rule.verdict,
                    since=history[-stretch].iteration,
                    sure=1.0 if rule.at_once else 1 - 2.0**-stretch,
                    evidence=rule.evidence(history),
                    remedies=rule.remedies,
                )
            )
    return Diagnosed(iteration=history[-1].iteration, findings=tuple(findings))
