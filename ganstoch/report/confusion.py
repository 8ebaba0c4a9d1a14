"""How verdicts agree with known causes: a matrix, and what was missed or raised in vain."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from ganstoch.report.formatting import wrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One labelled run and its verdicts."""

    name: str
    seed: int
    label: str  # what the run's ``cause`` leads to
    verdict: str  # the gravest finding at its end
    others: tuple[str, ...]  # the further ones
    found_after: int | None  # measurements from the cause to the first that shows the label
    passing: tuple[str, ...]  # findings that came and went again
    ended: bool  # whether ``--diagnosis.act stop`` would have ended the run
    cause: str


def false_alarms(judged: Sequence[Judged]) -> tuple[int, int]:
    """How many healthy runs were called anything else at their end, and how many there are."""
    healthy = [run.verdict for run in judged if run.label == "healthy"]
    return len(healthy) - healthy.count("healthy"), len(healthy)


def confusion_terminal(judged: Sequence[Judged], verdicts: Sequence[str]) -> str:
    """The matrix, a line a cause and a column a verdict in their order, and every mistaken run."""
    present = [v for v in verdicts if any(v in (run.label, run.verdict) for run in judged)]
    runs = pd.DataFrame(judged)
    matrix = pd.crosstab(runs.label, runs.verdict)
    matrix = matrix.reindex(index=present, columns=present, fill_value=0)
    shown = matrix.astype(str).replace("0", ".").set_axis(range(1, len(present) + 1), axis=1)
    shown.insert(0, "cause", present)
    shown["found"] = [_found(judged, label) for label in present]
    shown["looks"] = [_delay(judged, label) for label in present]
    seeds = ", ".join(map(str, sorted(runs.seed.unique())))
    wrong, healthy = false_alarms(judged)
    mistaken = [run for run in judged if run.verdict != run.label]
    legend = (
        f"{len(judged)} runs, seeds {seeds}. A line is a cause, a column a verdict; found: how "
        "many of a cause's runs had it among their findings at the end; looks: the median and the "
        "most measurements from the cause to the first that names it, where one does."
    )
    lines = [
        *("Verdicts at the end of labelled runs", *wrapped(legend), ""),
        shown.set_axis(range(1, len(present) + 1)).to_markdown(tablefmt="plain", stralign="right"),
        "",
        f"right: {len(judged) - len(mistaken)} of {len(judged)}; false alarms at the end of "
        f"healthy runs: {wrong} of {healthy}",
        *(part for text in _alarms(judged) for part in wrapped(text)),
    ]
    for run in mistaken:
        words = run.verdict + (f", also {', '.join(run.others)}" if run.others else "")
        text = f"{run.name}, seed {run.seed}: {run.cause}; {run.label} was called {words}"
        lines += wrapped(text, first="  ", rest="      ")
    return "\n".join(lines) + "\n"


def _found(judged: Sequence[Judged], label: str) -> str:
    runs = [run for run in judged if run.label == label]
    count = sum(label in (run.verdict, *run.others) for run in runs)
    return f"{count} of {len(runs)}" if runs else "-"


def _delay(judged: Sequence[Judged], label: str) -> str:
    delays = [run.found_after for run in judged if run.label == label and run.found_after]
    return f"{statistics.median_low(delays)}, {max(delays)}" if delays else "-"


def _alarms(judged: Sequence[Judged]) -> Iterator[str]:
    healthy = [run for run in judged if run.label == "healthy"]
    alarmed = [run for run in healthy if run.passing]
    names = ", ".join(sorted({name for run in alarmed for name in run.passing})) or "none"
    ended = sum(run.ended for run in healthy)
    yield f"alarms that passed, in healthy runs: {len(alarmed)} of {len(healthy)} ({names})"
    yield f"healthy runs that act = stop would have ended: {ended} of {len(healthy)}"
