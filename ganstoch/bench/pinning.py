"""What deterministic kernels cost."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import torch

from ganstoch.bench.race import in_turns

__all__ = ["race_determinism"]


def race_determinism(act: Callable[[], object], *, rounds: int) -> tuple[float, str]:
    """Time with deterministic kernels over time with any, and both times in words.

    Args:
        act: an iteration.
        rounds: how often each.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses
    before = torch.are_deterministic_algorithms_enabled()

    def run(pinned: bool) -> None:
        torch.use_deterministic_algorithms(pinned)
        act()

    try:
        times = in_turns({"pinned": partial(run, True), "any": partial(run, False)}, rounds=rounds)
    finally:
        torch.use_deterministic_algorithms(before)
    what = f"{times['pinned']:.3f} s and {times['any']:.3f} s an iteration"
    return times["pinned"] / times["any"], what
