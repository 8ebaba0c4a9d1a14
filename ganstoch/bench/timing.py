"""Wall times of calls that take turns in one process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch


def seconds(act: Callable[[], object]) -> float:
    """Wall time of one call, waiting for the GPU where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    act()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def in_turns(acts: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median seconds of each call by name, after one that does not count.

    In turns, so that a machine that gets slower or faster does so for all of them.
    """
    for act in acts.values():
        act()
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            taken[name].append(seconds(act))
    return {name: median(times) for name, times in taken.items()}


def say(line: str) -> None:
    """Tells what is being measured, on stderr."""
    print(f"  {line} ...", file=sys.stderr, flush=True)
