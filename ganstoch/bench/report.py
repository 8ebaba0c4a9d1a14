"""`ganstoch bench`: measures speed, checks that it changes no result, prints a table."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from ganstoch.bench.audit import measure_audit
from ganstoch.bench.equality import TOLERANCE, equality
from ganstoch.bench.goals import FULL, QUICK, Goal, measure
from ganstoch.bench.timing import say
from ganstoch.environment import hardware, versions
from ganstoch.records import write_atomically


def bench_audit(*, quick: bool, file: Path | None) -> int:
    """Races the audit's measures, prints the table, writes it as JSON; 0 also for missed goals."""
    started = time.monotonic()
    goals = measure_audit(quick=quick)
    _print(goals)
    if file is not None:
        _write(file, goals, {"quick": quick}, started=started)
    return 0


def bench(*, quick: bool, file: Path | None) -> int:
    """Measures, prints the table, writes it as JSON; 0 also where a goal is missed."""
    started = time.monotonic()
    scale = QUICK if quick else FULL
    if not quick:
        say("a quarter of an hour on two cores; --quick takes a minute")
    say("the plain loop and ours on the same draws, float64")
    equal = equality()
    goals = measure(scale)
    _print(goals)
    print("\nlargest difference to the plain loop after 20 iterations in float64")
    for name, value in equal.items():
        defect = "" if value <= TOLERANCE else f"  more than {TOLERANCE:g}: a defect"
        print(f"  {name:<32}{value:.0e}{defect}")
    print(f"{hardware()}; torch {torch.__version__}")
    if quick:
        narrow = f"--quick: networks of width {QUICK.width} instead of the paper's {FULL.width}"
        print(f"{narrow}, where fixed costs weigh more; the goals are for the paper's")
    if not torch.cuda.is_available():
        print("no CUDA device: nothing of this was measured on a GPU")
    if file is not None:
        _write(
            file,
            goals,
            {"quick": quick, "width": scale.width, "equality": equal},
            started=started,
        )
    return 0


def _print(goals: list[Goal]) -> None:
    header = ("ratio", "value", "goal", "", "measured")
    print(tabulate([_row(goal) for goal in goals], header, "plain", disable_numparse=True))


def _write(file: Path, goals: list[Goal], more: dict[str, Any], *, started: float) -> None:
    content: dict[str, Any] = {goal.key: goal.value for goal in goals}
    content |= more | {
        "what": {goal.key: goal.what for goal in goals},
        "not_applicable": [goal.key for goal in goals if not goal.applies],
        "hardware": hardware(),
        "versions": versions(),
        "seconds": time.monotonic() - started,
    }
    write_atomically(file, json.dumps(content, indent=1).encode() + b"\n")


def _row(goal: Goal) -> tuple[str, ...]:
    met = "met" if goal.met else "missed" if goal.applies else "not applicable"
    return goal.key, f"{goal.value:.3f}", f"{goal.sign} {goal.bound:g}", met, goal.what
