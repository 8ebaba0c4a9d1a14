"""Every run of a sweep, here and without a server, then its report; for any sweep and report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.runs.configs import sweep_path
from ganstoch.runs.sweep import Scalar, Sweep, asked_seeds, read_sweep

if TYPE_CHECKING:
    from ganstoch.runs.cluster import Kind

__all__ = ["Report", "Request", "asked_sweep", "carry_out", "chosen_preset", "report"]

PLAN = "plan.json"

Report = Callable[[Path, Sequence[Path], Sequence[str]], str]
"""Writes files to a folder from runs and the names of missing ones; returns what to print."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asks for.

    Attributes:
        preset: "mini", "small", "paper" or "auto".
        data: names of data sets, or None for the preset's own.
        root: folder of their files, or None for the default.
        seeds: comma-separated numbers, or None for the sweep's.
        jobs: runs at once; 0 for one a CPU core, or one on a GPU.
        out: folder of everything that is written, or None for the default.
        sweep: short name of a packaged sweep, or a file.
        settings: KEY=VALUE for every row.
        report_only: whether to train nothing.
        executor: where rows are submitted as jobs, "local" or "slurm"; None to run them here.
        slurm: KEY=VALUE for each job.
    """

    preset: str = "auto"
    data: Sequence[str] | None = None
    root: Path | None = None
    seeds: str | None = None
    jobs: int = 0
    out: Path | None = None
    sweep: str = "table1"
    settings: tuple[str, ...] = ()
    report_only: bool = False
    executor: Kind | None = None
    slurm: tuple[str, ...] = ()


def carry_out(sweep: Sweep, request: Request, *, out: Path, write: Report) -> int:
    """Runs what is not finished, writes the report and prints its table.

    Returns:
        0, or 1 if a run failed.

    Raises:
        UserError: for a request that cannot be carried out.
    """
    from ganstoch.runs.launching import is_finished
    from ganstoch.runs.plan import plan
    from ganstoch.runs.runner import run_jobs

    if request.jobs < 0:
        raise UserError(f"--jobs must be 1 or more, or 0 to choose, got {request.jobs}")
    run: Callable[..., None] = run_jobs
    if request.executor is not None:
        from ganstoch.runs.cluster import Cluster

        cluster = Cluster(request.executor, out=out, settings=request.slurm, at_once=request.jobs)
        run = cluster.run
    elif request.slurm:
        raise UserError("--slurm is for --executor slurm")
    jobs, finished, failed = plan(sweep, out=out, root=request.root, settings=request.settings)
    runs = list(finished)
    for job in jobs:
        runs.insert(job.place, job.folder)  # as the sweep has them, whoever finished which
    for line in failed:
        print(f"FAILED {line}")
    if not runs:
        raise UserError(f"no row can be trained; the first: {failed[0]}")
    _write_plan(out, runs=runs, missing=failed)
    print(f"{len(finished)} runs finished before, {len(jobs)} to go; everything goes to {out}")
    parallel, threads = _workers(request.jobs, len(jobs))
    if jobs:
        run(jobs, parallel=parallel, threads=threads, say=lambda line: print(line, flush=True))
    if any(out.glob("runs/*/wandb/offline-run-*")):
        print(f"W&B is offline; to upload: wandb sync {out}/runs/*/wandb/offline-run-*")
    lost = [job for job in jobs if job.failure and not is_finished(job.folder, job.config_hash)]
    missing = failed + [f"{job.label}: {job.failure}" for job in lost]
    whole = [folder for folder in runs if (folder / "record.json").exists()]
    _write_plan(out, runs=whole, missing=missing)
    if not whole:
        raise UserError(f"no run finished; the first failed because {missing[0]}")
    report(out, write=write)
    return 1 if missing else 0


def report(out: Path, *, write: Report) -> int:
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


def chosen_preset(request: Request) -> tuple[str, str]:
    """The preset, and why it is that one."""
    if request.preset != "auto":
        return request.preset, "as asked"
    import torch

    if torch.cuda.is_available():
        return "paper", f"a CUDA device is visible ({torch.cuda.get_device_name()})"
    return "mini", "no CUDA device is visible (--preset small or paper for more)"


def asked_sweep(request: Request, *, preset: str | None) -> Sweep:
    """The sweep with the request's preset, data sets and seeds in place of its own.

    Args:
        request: what was asked for.
        preset: what takes the place of the sweep's own; None leaves it, and its data.
    """
    from dataclasses import replace

    sweep = read_sweep(sweep_path(request.sweep))
    if preset is not None:
        sweep = replace(sweep, preset=preset)
    if request.data is not None:
        from ganstoch.data import find_source

        names: list[Scalar] = [find_source(name.strip()).__name__ for name in request.data]
        if len(set(names)) < len(names):
            raise UserError(f"--data names a data set twice: {','.join(request.data)}")
        sweep = sweep.with_values("data.source", names)
    elif preset not in (None, "paper"):
        sweep = sweep.with_values("data.source", None)
    if request.seeds is not None:
        sweep = sweep.with_values("seed_everything", asked_seeds(request.seeds))
    return sweep


def _workers(asked: int, jobs: int) -> tuple[int, int]:
    """How many runs at once, and how many CPU threads for each."""
    cores = len(os.sched_getaffinity(0))
    if not asked:
        import torch

        asked = 1 if torch.cuda.is_available() else cores
    parallel = max(1, min(asked, jobs))
    return parallel, max(1, cores // parallel)


def _write_plan(out: Path, *, runs: Sequence[Path], missing: Sequence[str]) -> None:
    content = {"runs": [str(run.relative_to(out)) for run in runs], "missing": list(missing)}
    write_atomically(out / PLAN, json.dumps(content, indent=1).encode() + b"\n")
