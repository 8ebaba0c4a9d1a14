"""Wall times of calls that take turns in one process."""

import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch


def seconds(act: Callable[[], object]) -> float:
    """Wall time of one call, waiting for the GPU where there is one."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else int
    wait()
    started = time.perf_counter()
    act()
    wait()
    return time.perf_counter() - started


def in_turns(acts: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median seconds of each call by name, in turns, after one that does not count."""
    rows = [{name: seconds(act) for name, act in acts.items()} for _ in range(rounds + 1)]
    return {name: median(row[name] for row in rows[1:]) for name in acts}


def say(line: str) -> None:
    """Tells what is being measured, on stderr."""
    print(f"  {line} ...", file=sys.stderr, flush=True)
