"""Twenty thousand iterations: memory, open files and threads stay where they are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganstoch.records import read_record

ITERATIONS = 20_000
LOOK = 2.0


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_long_run_stays_as_it_is(tmp_path: Path, tally: Callable[..., None]) -> None:
    """The mini game at m = 1, measured and saved all along, with W&B offline beside it."""
    words = ["fit", "--config=mini", "--config=n256", f"--trainer.max_steps={ITERATIONS}"]
    words += ["--out=run", "--quiet=true", "--wandb.mode=offline", "--diagnosis.every=500"]
    words += ["--evaluation.every=200", "--evaluation.semantic=null"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ganstoch.cli", *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        stderr=subprocess.DEVNULL,
    )
    looks: list[tuple[float, int, int, int]] = []
    progress = tmp_path / "run" / "progress.json"
    while process.poll() is None:
        time.sleep(LOOK)
        try:
            here = Path(f"/proc/{process.pid}")
            iteration = int(progress.read_text().split(":")[1].split(",")[0])
            files, threads = (len(os.listdir(here / name)) for name in ("fd", "task"))
            looks.append((iteration, resident(process.pid), files, threads))
        except (OSError, IndexError, ValueError):
            continue  # it has not begun, or has just ended
    assert process.returncode == 0
    assert read_record(tmp_path / "run" / "record.json").iterations == ITERATIONS
    iterations, memory, files, threads = np.array(looks, dtype=float).T
    steady = iterations > ITERATIONS / 10  # the first measurements have made their room by then
    assert steady.sum() > 30
    slope, spread = slope_of(iterations[steady], memory[steady])
    growth = slope * ITERATIONS
    print(f"\n{growth / 2**20:.1f} MiB (+- {spread * ITERATIONS / 2**20:.1f}) over {ITERATIONS}")
    # What a history of a hundred measurements holds is a few hundred kilobytes.
    assert growth < max(3 * spread * ITERATIONS, 8 * 2**20)
    assert np.ptp(np.percentile(files[steady], [5, 50, 95])) <= 2  # one is open while it is written
    assert np.ptp(np.percentile(threads[steady], [5, 50, 95])) <= 1
    tally("iterations with memory, files and threads constant", ITERATIONS)


def slope_of(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least squares, and its standard error from ten blocks, as neighbours are alike."""
    slope = float(np.polyfit(x, y, 1)[0])
    blocks = [np.delete(np.arange(len(x)), part) for part in np.array_split(np.arange(len(x)), 10)]
    others = np.array([np.polyfit(x[keep], y[keep], 1)[0] for keep in blocks])
    return slope, float(np.sqrt(9 / 10 * ((others - others.mean()) ** 2).sum()))
