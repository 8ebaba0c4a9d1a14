"""`ganstoch table1`: every row of a sweep file, here and without a server, then its report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganstoch.errors import UserError
from ganstoch.experiments.configs import sweep_path
from ganstoch.experiments.sweep import Scalar, Sweep, read_sweep
from ganstoch.records import write_atomically

__all__ = ["Request", "table1"]

PLAN = "plan.json"


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


def table1(request: Request) -> int:
    """Runs what is not finished, writes the report and prints the table.

    Returns:
        0, or 1 if a run failed.

    Raises:
        UserError: for a request that cannot be carried out.
    """
    if request.report_only:
        return _report(request.out or _default_out(_chosen_preset(request)[0], request))
    preset, why = _chosen_preset(request)
    print(f"preset {preset}: {why}", flush=True)
    out = request.out or _default_out(preset, request)

    from ganstoch.experiments.planning import plan
    from ganstoch.experiments.runner import run_jobs

    if request.jobs < 0:
        raise UserError(f"--jobs must be 1 or more, or 0 to choose, got {request.jobs}")
    sweep = _asked_sweep(request, preset)
    jobs, finished, failed = plan(sweep, out=out, root=request.root, settings=request.settings)
    runs = [*finished, *(job.folder for job in jobs)]
    for line in failed:
        print(f"FAILED {line}")
    if not runs:
        raise UserError(f"no row can be trained; the first: {failed[0]}")
    _write_plan(out, runs=runs, missing=failed)
    print(f"{len(finished)} runs finished before, {len(jobs)} to go; everything goes to {out}")
    parallel, threads = _workers(request.jobs, len(jobs))
    if jobs:
        run_jobs(jobs, parallel=parallel, threads=threads, say=lambda line: print(line, flush=True))
    if any(out.glob("runs/*/wandb/offline-run-*")):
        print(f"W&B is offline; to upload: wandb sync {out}/runs/*/wandb/offline-run-*")
    missing = failed + [f"{job.label}: {job.failure}" for job in jobs if job.failure]
    whole = [folder for folder in runs if (folder / "record.json").exists()]
    _write_plan(out, runs=whole, missing=missing)
    if not whole:
        raise UserError(f"no run finished; the first failed because {missing[0]}")
    _report(out)
    return 1 if missing else 0


def _chosen_preset(request: Request) -> tuple[str, str]:
    """The preset, and why it is that one."""
    if request.preset != "auto":
        return request.preset, "as asked"
    import torch

    if torch.cuda.is_available():
        return "paper", f"a CUDA device is visible ({torch.cuda.get_device_name()})"
    return "mini", "no CUDA device is visible (--preset small or paper for more)"


def _default_out(preset: str, request: Request) -> Path:
    return Path("results") / f"{Path(request.sweep).stem}-{preset}"


def _asked_sweep(request: Request, preset: str) -> Sweep:
    """The sweep with the request's preset, data sets and seeds in place of its own."""
    from dataclasses import replace

    sweep = read_sweep(sweep_path(request.sweep))
    sweep = replace(sweep, preset=preset)
    if request.data is not None:
        from ganstoch.data import find_source

        names: list[Scalar] = [find_source(name.strip()).__name__ for name in request.data]
        if len(set(names)) < len(names):
            raise UserError(f"--data names a data set twice: {','.join(request.data)}")
        sweep = sweep.with_values("data.source", names)
    elif preset != "paper":
        sweep = sweep.with_values("data.source", None)
    if request.seeds is not None:
        sweep = sweep.with_values("seed_everything", _seeds(request.seeds))
    return sweep


def _seeds(text: str) -> list[Scalar]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() for word in words) or len(set(words)) < len(words):
        raise UserError(f"--seeds wants different whole numbers such as 0,1,2, got {text!r}")
    return [int(word) for word in words]


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


def _report(out: Path) -> int:
    """Rebuilds table and figures from the records alone, and prints the table."""
    from ganstoch.reporting import write_report

    try:
        content = json.loads((out / PLAN).read_bytes())
        runs = [out / name for name in content["runs"]]
        missing = [str(line) for line in content["missing"]]
    except FileNotFoundError as error:
        raise UserError(f"{out} holds no results; run ganstoch table1 --out {out}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{out / PLAN} is damaged; run the same ganstoch table1 again") from error
    sys.stdout.write(write_report(out, runs, missing=missing) + "\n")
    return 0
