"""Thousands of iterations: memory, open files and threads stay where they are."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ITERATIONS = 6_000


def test_a_long_run_stays_as_it_is(lab: Any, tally: Callable[..., None]) -> None:
    words = [*lab.fit, f"--trainer.max_steps={ITERATIONS}", "--data.m=1", "--wandb.mode=offline"]
    words += ["--evaluation.every=50", "--diagnosis.every=100", "--checkpoint_every=100"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ganstoch.cli", *words],
        cwd=lab.here,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        stderr=subprocess.DEVNULL,
    )
    here, looks = Path(f"/proc/{process.pid}"), []
    while process.poll() is None:
        time.sleep(0.5)
        try:
            progress = json.loads((lab.here / "run/progress.json").read_bytes())
            pages = int((here / "statm").read_text().split()[1])
            files, threads = (len(os.listdir(here / name)) for name in ("fd", "task"))
        except (OSError, ValueError):
            continue  # it has not begun, or has just ended
        memory = pages * os.sysconf("SC_PAGE_SIZE")
        looks.append((progress["iteration"], memory, files, threads))
    assert process.returncode == 0
    steady = np.array(looks, dtype=float)
    steady = steady[steady[:, 0] > ITERATIONS / 5]  # the first measurements have made their room
    assert len(steady) > 30
    iterations, memory, files, threads = steady.T
    # What a history of a hundred measurements holds is a few hundred kilobytes.
    assert np.polyfit(iterations, memory, 1)[0] * ITERATIONS < 8 * 2**20
    assert np.ptp(np.percentile(files, [5, 95])) <= 2  # one is open while it is written
    assert np.ptp(np.percentile(threads, [5, 95])) <= 1
    tally("iterations with memory, files and threads constant", ITERATIONS)
