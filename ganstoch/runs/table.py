"""`ganstoch table1` and `ganstoch remedies`: every run of a sweep, then its table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from ganstoch.errors import UserError
from ganstoch.records import FileModel, decode, read_json, write_atomically
from ganstoch.runs.configs import sweep_path
from ganstoch.runs.sweep import Sweep, parse_seeds, read_sweep

if TYPE_CHECKING:
    from ganstoch.runs.pool import Row

PLAN = "plan.json"


class _Plan(FileModel):
    """What a report is made of: folders of runs below it, and a line for each missing one."""

    runs: list[str]
    missing: list[str]


def table1(options: Namespace) -> int:
    """Trains what is not finished, writes Table 1, prints it; returns 1 if a run failed, else 0."""
    return _table(options, options.sweep, folder=Path(options.sweep).stem, write="write_report")


def remedies(options: Namespace) -> int:
    """As `table1`, for the same GAN under every remedy, on images or where modes are known."""
    synthetic = options.synthetic
    if synthetic is None:
        return _table(options, "remedies", folder="remedies", write="write_remedies_report")
    if options.preset != "auto":
        raise UserError(f"--preset is for images; --synthetic {synthetic} has its own settings")
    sweep = "gaussians1200" if synthetic == "1200d" else synthetic
    return _table(options, sweep, folder=synthetic, write="write_synthetic_report")


def _table(options: Namespace, name: str, *, folder: str, write: str) -> int:
    """Runs a sweep, or only reports, by the function ``write`` of `ganstoch.report.reports`."""
    preset, why = None, ""
    if options.get("synthetic") is None and not (options.report and options.out):
        preset, why = _preset(options)
        folder = f"{folder}-{preset}"
    out = options.out or Path("runs") / folder
    if options.report:
        return _report(out, write)
    sweep = read_sweep(sweep_path(name))
    if preset is not None:
        print(f"preset {preset}: {why}", flush=True)
        sweep = replace(sweep, preset=preset)
    if options.data is not None:
        from ganstoch.data import find_source

        sources = [find_source(word).__name__ for word in _words(options, "data")]
        sweep = sweep.with_values("data.source", sources)
    elif preset not in (None, "paper"):
        sweep = sweep.with_values("data.source", None)
    if options.seeds is not None:
        sweep = sweep.with_values("seed_everything", parse_seeds(options.seeds))
    if options.get("remedies") is not None:
        sweep = sweep.with_values("remedy", _words(options, "remedies"))
    return _run(sweep, options, out, write)


def _preset(options: Namespace) -> tuple[str, str]:
    """The preset, and why it is that one."""
    if options.preset != "auto":
        return options.preset, "as asked"
    import torch

    if torch.cuda.is_available():
        return "paper", f"a CUDA device is visible ({torch.cuda.get_device_name()})"
    return "mini", "no CUDA device is visible (--preset small or paper for more)"


def _words(options: Namespace, option: str) -> list[str]:
    """The different words of an option, comma-separated."""
    words = [word.strip() for word in options[option].split(",")]
    if len(set(words)) < len(words):
        raise UserError(f"--{option} has a word twice: {options[option]}")
    return words


def _run(sweep: Sweep, options: Namespace, out: Path, write: str) -> int:
    """Trains the rows that are not finished, then writes and prints the report."""
    from ganstoch.runs.plan import plan
    from ganstoch.runs.pool import run_rows

    start, most = _starter(options, out)
    rows = plan(sweep, out=out, root=options.root, settings=options.set)
    for row in rows:
        if row.failure:
            print(f"FAILED {row.label}: {row.failure}")
    trainable = [row for row in rows if not row.failure]
    if not trainable:
        raise UserError(f"no row can be trained; the first: {rows[0].label}: {rows[0].failure}")
    todo = [row for row in trainable if not row.finished]
    _write_plan(out, rows, trainable)
    print(f"{len(trainable) - len(todo)} runs finished before, {len(todo)} to go; ", end="")
    print(f"everything goes to {out}", flush=True)
    if todo:
        parallel = min(most, len(todo))
        threads = max(1, len(os.sched_getaffinity(0)) // parallel)
        run_rows(todo, parallel=parallel, start=partial(start, threads=threads))
    if any(out.glob("runs/*/wandb/offline-run-*")):
        print(f"W&B is offline; to upload: wandb sync {out}/runs/*/wandb/offline-run-*")
    finished = [row for row in rows if row.finished]
    missing = _write_plan(out, rows, finished)
    if not finished:
        raise UserError(f"no run finished; the first failed because {missing[0]}")
    _report(out, write)
    return 1 if missing else 0


def _starter(options: Namespace, out: Path) -> tuple[Callable[..., Sequence[Any]], int]:
    """What starts rows, as processes of this machine or as jobs, and how many may run at once."""
    if options.slurm and options.executor != "slurm":
        raise UserError("--slurm is for --executor slurm")
    if options.executor is not None:
        from ganstoch.runs.cluster import Jobs, make_executor

        executor = make_executor(
            options.executor, out / "jobs", slurm=options.slurm, at_once=options.jobs
        )
        if options.executor == "slurm":
            return Jobs(executor), 10**6
        start: Callable[..., Sequence[Any]] = Jobs(executor)
    else:
        from ganstoch.runs.pool import launch_all

        start = launch_all
    if options.jobs:
        return start, options.jobs
    import torch

    return start, 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0))


def _report(out: Path, write: str) -> int:
    """Rebuilds a report from the records alone, and prints its table."""
    file, fix = out / PLAN, "run the command without --report"
    if not file.exists():
        raise UserError(f"{out} holds no results; {fix}")
    from ganstoch.report import reports

    plan: _Plan = decode(_Plan, read_json(file, fix=fix), str(file), fix=fix)
    runs = [out / name for name in plan.runs]
    print(getattr(reports, write)(out, runs, missing=plan.missing))
    return 0


def _write_plan(out: Path, rows: Sequence[Row], reported: Sequence[Row]) -> list[str]:
    """Writes which runs the report is of, and returns a line for each row that is missing."""
    missing = [f"{row.label}: {row.failure}" for row in rows if row.failure]
    content = {"runs": [str(row.folder.relative_to(out)) for row in reported], "missing": missing}
    write_atomically(out / PLAN, json.dumps(content, indent=1).encode() + b"\n")
    return missing
