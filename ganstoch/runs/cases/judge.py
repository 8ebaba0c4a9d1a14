"""Draws verdicts from the signals of labelled runs, and says how they agree with the causes."""

from __future__ import annotations

from collections.abc import Sequence

from ganstoch.diagnosis import Signals, diagnose
from ganstoch.report.confusion import Judged
from ganstoch.runs.cases.case import Case

__all__ = ["judge"]


def judge(case: Case, history: Sequence[Signals], *, seed: int) -> Judged:
    """What the diagnosis said along a run.

    Args:
        case: what was played.
        history: its signals, at least one.
        seed: of the run.
    """
    moments = [diagnose(history[: end + 1]) for end in range(len(history))]
    named = [{finding.verdict for finding in moment.findings} for moment in moments]
    after = [i for i, moment in enumerate(moments) if moment.iteration >= case.onset]
    seen = [number for number, i in enumerate(after, start=1) if case.label in named[i]]
    final = moments[-1]
    passing = set().union(*named) - named[-1]
    return Judged(
        name=case.name,
        seed=seed,
        label=case.label,
        verdict=final.verdict,
        others=tuple(finding.verdict for finding in final.findings[1:]),
        found_after=seen[0] if seen and case.label != "healthy" else None,
        passing=tuple(sorted(passing)),
        ended=any(moment.due() for moment in moments),
        cause=case.cause,
    )
