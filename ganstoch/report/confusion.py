"""How verdicts agree with known causes: a matrix, and what was missed or raised in vain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganstoch.report.formatting import wrapped

__all__ = ["Judged", "confusion_terminal", "false_alarms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One labelled run and what was said of it.

    Attributes:
        name: of the case.
        seed: of the run.
        label: what its cause leads to.
        verdict: the gravest finding at its end.
        others: the further findings at its end.
        found_after: moments from the cause to the first that showed the label, 1 for the first
            moment after it; None if it was never seen, and of healthy runs.
        passing: findings that came and went again.
        ended: whether ``--diagnosis.act stop`` would have ended the run.
        cause: in words.
    """

    name: str
    seed: int
    label: str
    verdict: str
    others: tuple[str, ...]
    found_after: int | None
    passing: tuple[str, ...]
    ended: bool
    cause: str

    @property
    def right(self) -> bool:
        """Whether the verdict is the label."""
        return self.verdict == self.label


def false_alarms(judged: Sequence[Judged]) -> tuple[int, int]:
    """How many healthy runs were called anything else at their end, and how many there are."""
    healthy = [run for run in judged if run.label == "healthy"]
    return sum(not run.right for run in healthy), len(healthy)


def confusion_terminal(judged: Sequence[Judged], verdicts: Sequence[str]) -> str:
    """The matrix, one line a cause and one column a verdict, and every run that was mistaken.

    Args:
        judged: the runs.
        verdicts: in the order of lines and columns.
    """
    seeds = sorted({run.seed for run in judged})
    present = [v for v in verdicts if any(v in (run.label, run.verdict) for run in judged)]
    width = max(len(v) for v in present)
    lines = [
        "Verdicts at the end of labelled runs",
        f"{len(judged)} runs: {len(judged) // len(seeds)} cases, seeds "
        f"{', '.join(map(str, seeds))}. A line is a cause, a column a verdict; the number after a",
        "cause is how many of its runs had it among their findings at the end.",
        "",
        " " * (width + 7) + " ".join(f"{i + 1:>3}" for i in range(len(present))) + "  found",
    ]
    for i, label in enumerate(present):
        runs = [run for run in judged if run.label == label]
        counts = [sum(run.verdict == verdict for run in runs) for verdict in present]
        cells = " ".join(f"{count or '.':>3}" for count in counts)
        found = sum(label in (run.verdict, *run.others) for run in runs)
        share = f"{found} of {len(runs)}" if runs else "-"
        lines.append(f"{i + 1:>3}  {label:<{width}}  {cells}  {share}")
    wrong, healthy = false_alarms(judged)
    right = sum(run.right for run in judged)
    lines += [
        "",
        f"right: {right} of {len(judged)}; false alarms at the end of healthy runs: {wrong} of "
        f"{healthy}",
        *(part for text in (*_delays(judged), *_passing(judged)) for part in wrapped(text)),
    ]
    mistaken = [run for run in judged if not run.right]
    if mistaken:
        lines += ["", "Mistaken"]
        for run in mistaken:
            also = f", also {', '.join(run.others)}" if run.others else ""
            said = f"{run.label} was called {run.verdict}{also}"
            lines += wrapped(
                f"{run.name}, seed {run.seed}: {run.cause}; {said}", first="  ", rest="      "
            )
    return "\n".join(lines) + "\n"


def _delays(judged: Sequence[Judged]) -> list[str]:
    """How soon what ends a run was seen."""
    lines = []
    for label in ("complete_collapse", "non_finite"):
        runs = [run for run in judged if run.label == label]
        seen = [run.found_after for run in runs if run.found_after is not None]
        if runs:
            latest = f", the last after {max(seen)} measurements" if seen else ""
            lines.append(f"{label}: seen in {len(seen)} of {len(runs)}{latest}")
    return lines


def _passing(judged: Sequence[Judged]) -> list[str]:
    healthy = [run for run in judged if run.label == "healthy"]
    alarmed = [run for run in healthy if run.passing]
    if not healthy:
        return []
    what = sorted({name for run in alarmed for name in run.passing})
    names = f" ({', '.join(what)})" if what else ""
    ended = sum(run.ended for run in healthy)
    return [
        f"alarms that passed, in healthy runs: {len(alarmed)} of {len(healthy)}{names}",
        f"healthy runs that act = stop would have ended: {ended} of {len(healthy)}",
    ]
