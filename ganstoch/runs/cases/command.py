"""`ganstoch cases`: plays the labelled runs that are missing and prints the confusion matrix."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ganstoch.diagnosis import VERDICTS
from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.report.confusion import confusion_terminal
from ganstoch.runs.cases import CASES
from ganstoch.runs.cases.judge import judge
from ganstoch.runs.cases.play import play, read_trace, trace_path, write_trace

__all__ = ["cases"]

REPORT = "confusion.txt"


def cases(*, out: Path, seeds: Sequence[int], jobs: int, report_only: bool) -> int:
    """Plays what is missing, writes ``confusion.txt`` and prints it.

    Args:
        out: folder of the signals, one file a run, and of the report.
        seeds: of the runs.
        jobs: runs at once; 0 for one a core.
        report_only: whether to play nothing.

    Returns:
        0.

    Raises:
        UserError: where there is nothing to report on.
    """
    if jobs < 0:
        raise UserError(f"--jobs must be 1 or more, or 0 to choose, got {jobs}")
    asked = [(i, seed, out) for seed in seeds for i in range(len(CASES))]
    missing = [run for run in asked if not _path(run).exists()]
    if missing and report_only:
        raise UserError(f"{out} lacks {len(missing)} of {len(asked)} runs; run without --report")
    if missing:
        out.mkdir(parents=True, exist_ok=True)
        workers = jobs or len(os.sched_getaffinity(0))
        with multiprocessing.get_context("spawn").Pool(min(workers, len(missing))) as pool:
            done = pool.imap_unordered(_play, missing)
            for _ in tqdm(done, total=len(missing), desc="labelled runs", disable=None):
                pass
    judged = [judge(CASES[i], read_trace(_path((i, seed, out))), seed=seed) for i, seed, _ in asked]
    text = confusion_terminal(judged, VERDICTS)
    write_atomically(out / REPORT, text.encode())
    sys.stdout.write(text)
    return 0


def _path(run: tuple[int, int, Path]) -> Path:
    i, seed, out = run
    return trace_path(out, CASES[i], seed=seed)


def _play(run: tuple[int, int, Path]) -> None:
    torch.set_num_threads(1)
    logging.getLogger("ganstoch").setLevel(logging.ERROR)
    i, seed, _ = run
    write_trace(_path(run), play(CASES[i], seed=seed))
