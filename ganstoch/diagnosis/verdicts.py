"""From the history of the signals to a verdict with its evidence, and what may be done.

A verdict needs the same finding at several measurements in a row, as training swings by nature;
likewise it stays until its signals are clearly other ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ganstoch.diagnosis.rules import RULES, Rule, Verdict
from ganstoch.diagnosis.signals import Signals

PERSIST = 3  # measurements in a row at which a finding must hold
# How sure a verdict must be to be acted on: six measurements that show it. Some alarms pass.
SURE = 0.98

VERDICTS: tuple[Verdict, ...] = (*(rule.verdict for rule in RULES), "healthy")  # the gravest first
# Those after which training goes nowhere; the others leave a generator that may be of use.
FATAL: tuple[Verdict, ...] = (
    "non_finite",
    "diverged",
    "complete_collapse",
    "ignores_latent",
    "vanishing_gradient",
    "discriminator_dominates",
    "generator_dominates",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    verdict: Verdict
    since: int  # iteration of the first measurement at which it was seen; it has lasted since
    sure: float  # 1 - 2^-k after k measurements that showed it, 1 for what needs no repetition
    evidence: tuple[str, ...]  # what it means, then the signals that say so as "name value"
    remedies: tuple[str, ...]  # what is known to help, names of packaged remedies or settings

    @property
    def words(self) -> str:
        """What it is, since when, how sure, and by which signals."""
        evidence = "; ".join(self.evidence)
        return f"{self.verdict} since iteration {self.since} (sure {self.sure:.0%}): {evidence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """What the signals say at one measurement."""

    iteration: int
    findings: tuple[Finding, ...]  # all of them, the gravest first; none if all is well

    @property
    def verdict(self) -> Verdict:
        """The gravest finding's, or "healthy"."""
        return self.findings[0].verdict if self.findings else "healthy"

    def due(self, on: Sequence[Verdict] = FATAL) -> tuple[Finding, ...]:
        """The findings of these verdicts that are sure enough to act on, the gravest first."""
        return tuple(f for f in self.findings if f.verdict in on and f.sure >= SURE)

    @property
    def words(self) -> str:
        """All of it in one line."""
        if not self.findings:
            return f"diagnosis at iteration {self.iteration}: healthy"
        first = self.findings[0]
        also = ", ".join(finding.verdict for finding in self.findings[1:])
        return (
            f"diagnosis at iteration {self.iteration}: {first.words}"
            + (f"; also {also}" if also else "")
            + f"; try {', '.join(first.remedies)}"
        )


# Of each beginning of a history, by its length, kept for when it has grown: whether each failure
# holds there, and whether it lasts.
Known = dict[int, dict[Verdict, tuple[bool, bool]]]


def _stretch(rule: Rule, history: Sequence[Signals], known: Known) -> list[bool]:
    """Whether each of the last measurements, of a failure found by then, shows it; or empty."""
    needed = 1 if rule.at_once else PERSIST
    shown: list[bool] = []  # the latest first
    for end in range(len(history), 0, -1):
        told = known.setdefault(end, {})
        if rule.verdict not in told:
            holds = rule.holds(history[:end])
            lasts = holds or (rule.lasts is not None and rule.lasts(history[:end]))
            told[rule.verdict] = holds, lasts
        holds, lasts = told[rule.verdict]
        if not lasts:
            break
        shown.append(holds)
    shown.reverse()
    for start in range(len(shown) - needed + 1):
        if all(shown[start : start + needed]):
            return shown[start:]
    return []


def diagnose(history: Sequence[Signals], known: Known | None = None) -> Diagnosed:
    """The verdict at the last of a run's signals, at least one, in order of iteration."""
    known = {} if known is None else known
    findings = [
        Finding(
            verdict=rule.verdict,
            since=history[-len(stretch)].iteration,
            sure=1.0 if rule.at_once else 1 - 2.0 ** -sum(stretch),
            evidence=rule.evidence(history),
            remedies=rule.remedies,
        )
        for rule in RULES
        if (stretch := _stretch(rule, history, known))
    ]
    return Diagnosed(iteration=history[-1].iteration, findings=tuple(findings))
