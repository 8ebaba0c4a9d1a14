"""`ganstoch cases`: trains labelled runs, says how verdicts agree, and whether remedies help."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from jsonargparse import Namespace
from tqdm import tqdm

from ganstoch.diagnosis import VERDICTS
from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.report.confusion import confusion_terminal
from ganstoch.runs.cases import CASES, Case, read_trace, run_and_write, score_case, trace_path
from ganstoch.runs.cures import cures_terminal, treat
from ganstoch.runs.sweep import parse_seeds

_Run = tuple[Case, int, Path]  # with its seed and the file of its signals
_Result = TypeVar("_Result")


def cases(options: Namespace) -> int:
    """Runs what is missing, writes ``confusion.txt`` and prints it; see `ganstoch cases --help`."""
    seeds, out = parse_seeds(options.seeds), options.out
    if options.report and options.remedies:
        raise UserError("--report trains nothing, and --remedies trains again: give one of them")
    runs = [(case, seed, trace_path(out, case, seed=seed)) for seed in seeds for case in CASES]
    missing = [run for run in runs if not run[2].exists()]
    if missing and options.report:
        raise UserError(f"{out} lacks {len(missing)} of {len(runs)} runs; run without --report")
    if missing:
        _in_processes(run_and_write, missing, jobs=options.jobs, what="labelled runs")
    scores = [score_case(case, read_trace(path), seed=seed) for case, seed, path in runs]
    text = confusion_terminal(scores, VERDICTS)
    write_atomically(out / "confusion.txt", text.encode())
    sys.stdout.write(text)
    if options.remedies:
        ill = [run for run in runs if run[0].treat]
        text = cures_terminal(_in_processes(treat, ill, jobs=options.jobs, what="treated runs"))
        write_atomically(out / "remedies.txt", text.encode())
        sys.stdout.write(f"\n{text}")
    return 0


def _in_processes(
    function: Callable[[_Run], _Result], runs: Sequence[_Run], *, jobs: int, what: str
) -> list[_Result]:
    workers = min(jobs or len(os.sched_getaffinity(0)), len(runs))
    # A process is replaced now and then, as trainers are slow to leave its memory.
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=16) as pool:
        return [*tqdm(pool.imap(function, runs), total=len(runs), desc=what, disable=None)]
