"""`ganstoch table1` and `ganstoch remedies`: every run of a sweep, then its table."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from jsonargparse import Namespace

from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.runs.configs import sweep_path
from ganstoch.runs.sweep import Scalar, Sweep, parse_seeds, read_sweep

__all__ = ["SYNTHETIC", "remedies", "table1"]

PLAN = "plan.json"

SYNTHETIC = ("ring", "ring_unrolled", "grid", "1200d", "bimodal", "stacked")
"""Data whose modes are known.

* ``ring``, ``grid``, ``1200d``: points, by PacGAN's protocol.
* ``ring_unrolled``: the same ring by the protocol of unrolled GANs.
* ``bimodal``: points on a line, two modes.
* ``stacked``: stacked images, a thousand modes.
"""

_Write = Callable[[Path, Sequence[Path], Sequence[str]], str]
"""Writes files to a folder from runs and a line for each missing one; returns what to print."""


def table1(options: Namespace) -> int:
    """Trains what is not finished, writes Table 1 and its figures, prints the table.

    Args:
        options: of the command line; see `ganstoch table1 --help`.

    Returns:
        0, or 1 if a run failed.
    """

    def write(out: Path, runs: Sequence[Path], missing: Sequence[str]) -> str:
        from ganstoch.report.reports import write_report

        return write_report(out, runs, missing=missing)

    if options.report and options.out:
        return _report(options.out, write)
    sweep = options.sweep
    preset, why = _preset(options)
    out = options.out or Path("runs") / f"{Path(sweep).stem}-{preset}"
    if options.report:
        return _report(out, write)
    print(f"preset {preset}: {why}", flush=True)
    return _run(_read(sweep, options, preset=preset), options, out, write)


def remedies(options: Namespace) -> int:
    """Trains the same GAN under every remedy, on images or where the modes are known.

    Args:
        options: of the command line; see `ganstoch remedies --help`.

    Returns:
        0, or 1 if a run failed.
    """
    synthetic, names = options.synthetic, options.remedies

    def write(out: Path, runs: Sequence[Path], missing: Sequence[str]) -> str:
        from ganstoch.report.reports import write_remedies_report, write_synthetic_report

        if synthetic is None:
            return write_remedies_report(out, runs, missing=missing)
        return write_synthetic_report(out, runs, missing=missing)

    if options.report and options.out:
        return _report(options.out, write)
    preset = None
    default = Path("runs") / (synthetic or "")
    if synthetic is None:
        preset, why = _preset(options)
        default = Path("runs") / f"remedies-{preset}"
    elif options.preset != "auto":
        raise UserError(f"--preset is for images; --synthetic {synthetic} has its own settings")
    out = options.out or default
    if options.report:
        return _report(out, write)
    if preset is not None:
        print(f"preset {preset}: {why}", flush=True)
    file = "gaussians1200" if synthetic == "1200d" else synthetic or "remedies"
    sweep = _read(file, options, preset=preset)
    if names is not None:
        listed = [name.strip() for name in names.split(",")]
        if len(set(listed)) < len(listed):
            raise UserError(f"--remedies names a remedy twice: {names}")
        sweep = sweep.with_values("remedy", listed)
    return _run(sweep, options, out, write)


def _preset(options: Namespace) -> tuple[str, str]:
    """The preset, and why it is that one."""
    if options.preset != "auto":
        return options.preset, "as asked"
    import torch

    if torch.cuda.is_available():
        return "paper", f"a CUDA device is visible ({torch.cuda.get_device_name()})"
    return "mini", "no CUDA device is visible (--preset small or paper for more)"


def _read(name: str, options: Namespace, *, preset: str | None) -> Sweep:
    """The sweep with the preset, data sets and seeds of the options in place of its own."""
    sweep = read_sweep(sweep_path(name))
    if preset is not None:
        sweep = replace(sweep, preset=preset)
    if options.data is not None:
        from ganstoch.data import find_source

        listed = options.data.split(",")
        sources: list[Scalar] = [find_source(each.strip()).__name__ for each in listed]
        if len(set(sources)) < len(sources):
            raise UserError(f"--data names a data set twice: {options.data}")
        sweep = sweep.with_values("data.source", sources)
    elif preset not in (None, "paper"):
        sweep = sweep.with_values("data.source", None)
    if options.seeds is not None:
        sweep = sweep.with_values("seed_everything", parse_seeds(options.seeds))
    return sweep


def _run(sweep: Sweep, options: Namespace, out: Path, write: _Write) -> int:
    """Trains the rows that are not finished, then writes and prints the report."""
    from ganstoch.runs.plan import plan

    if options.jobs < 0:
        raise UserError(f"--jobs must be 1 or more, or 0 to choose, got {options.jobs}")
    executor = None
    if options.slurm and options.executor != "slurm":
        raise UserError("--slurm is for --executor slurm")
    if options.executor is not None:
        from ganstoch.runs.cluster import make_executor, run_on_cluster

        executor = make_executor(
            options.executor, out / "jobs", slurm=options.slurm, at_once=options.jobs
        )
    rows = plan(sweep, out=out, root=options.root, settings=options.set)
    for row in rows:
        if row.failure:
            print(f"FAILED {row.label}: {row.failure}")
    trainable = [row for row in rows if not row.failure]
    if not trainable:
        raise UserError(f"no row can be trained; the first: {rows[0].label}: {rows[0].failure}")
    todo = [row for row in trainable if not row.finished]
    _write_plan(
        out,
        runs=[row.folder for row in trainable],
        missing=[f"{row.label}: {row.failure}" for row in rows if row.failure],
    )
    print(f"{len(trainable) - len(todo)} runs finished before, {len(todo)} to go; ", end="")
    print(f"everything goes to {out}", flush=True)
    parallel, threads = _workers(options.jobs, len(todo))

    def say(line: str) -> None:
        print(line, flush=True)

    if todo and executor is not None:
        own: dict[str, str | None] = {}
        if options.executor == "local":  # submitit would hide the devices
            devices = os.environ.get("CUDA_VISIBLE_DEVICES")
            own = {"CUDA_VISIBLE_DEVICES": devices, "OMP_NUM_THREADS": str(threads)}
        else:
            parallel = len(todo)
        run_on_cluster(todo, executor, parallel=parallel, environment=own, say=say)
    elif todo:
        from ganstoch.runs.pool import launch, run_rows

        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        run_rows(
            todo,
            parallel=parallel,
            start=lambda chosen: [launch(row, environment) for row in chosen],
            say=say,
        )
    if any(out.glob("runs/*/wandb/offline-run-*")):
        print(f"W&B is offline; to upload: wandb sync {out}/runs/*/wandb/offline-run-*")
    missing = [f"{row.label}: {row.failure}" for row in rows if row.failure]
    whole = [row.folder for row in rows if row.finished]
    _write_plan(out, runs=whole, missing=missing)
    if not whole:
        raise UserError(f"no run finished; the first failed because {missing[0]}")
    _report(out, write)
    return 1 if missing else 0


def _report(out: Path, write: _Write) -> int:
    """Rebuilds a report from the records alone, and prints its table."""
    try:
        content = json.loads((out / PLAN).read_bytes())
        runs = [out / name for name in content["runs"]]
        missing = [str(line) for line in content["missing"]]
    except FileNotFoundError as error:
        raise UserError(f"{out} holds no results; run the command without --report") from error
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(f"{out / PLAN} is damaged; run the command without --report") from error
    sys.stdout.write(write(out, runs, missing) + "\n")
    return 0


def _workers(jobs: int, rows: int) -> tuple[int, int]:
    """How many runs at once, and how many CPU threads for each."""
    cores = len(os.sched_getaffinity(0))
    if not jobs:
        import torch

        jobs = 1 if torch.cuda.is_available() else cores
    parallel = max(1, min(jobs, rows))
    return parallel, max(1, cores // parallel)


def _write_plan(out: Path, *, runs: Sequence[Path], missing: Sequence[str]) -> None:
    content = {"runs": [str(run.relative_to(out)) for run in runs], "missing": list(missing)}
    write_atomically(out / PLAN, json.dumps(content, indent=1).encode() + b"\n")
