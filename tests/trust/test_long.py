"""Twenty thousand iterations: memory, open files and threads stay where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganstoch.records import read_record

ITERATIONS = 20_000


def test_a_long_run_stays_as_it_is(tmp_path: Path, tally: Callable[..., None]) -> None:
    """The mini game at m = 1, measured, diagnosed and saved all along, with W&B offline."""
    words = ["fit", "--config=mini", "--config=n256", f"--trainer.max_steps={ITERATIONS}"]
    words += ["--out=run", "--quiet=true", "--wandb.mode=offline", "--diagnosis.every=500"]
    words += ["--evaluation.every=200", "--evaluation.semantic=null"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ganstoch.cli", *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        stderr=subprocess.DEVNULL,
    )
    looks = []
    here = Path(f"/proc/{process.pid}")
    while process.poll() is None:
        time.sleep(2.0)
        try:
            progress = json.loads((tmp_path / "run" / "progress.json").read_bytes())
            pages = int((here / "statm").read_text().split()[1])
            files, threads = (len(os.listdir(here / name)) for name in ("fd", "task"))
        except (OSError, ValueError):
            continue  # it has not begun, or has just ended
        memory = pages * os.sysconf("SC_PAGE_SIZE")
        looks.append((progress["iteration"], memory, files, threads))
    assert process.returncode == 0
    assert read_record(tmp_path / "run" / "record.json").iterations == ITERATIONS
    steady = np.array(looks, dtype=float)
    steady = steady[steady[:, 0] > ITERATIONS / 10]  # the first measurements have made their room
    assert len(steady) > 30
    iterations, memory, files, threads = steady.T
    # What a history of a hundred measurements holds is a few hundred kilobytes.
    assert np.polyfit(iterations, memory, 1)[0] * ITERATIONS < 8 * 2**20
    assert np.ptp(np.percentile(files, [5, 95])) <= 2  # one is open while it is written
    assert np.ptp(np.percentile(threads, [5, 95])) <= 1
    tally("iterations with memory, files and threads constant", ITERATIONS)
