"""What every command that carries out a sweep takes, and what it then asks for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganstoch.runs.campaign import Request

__all__ = ["asked_request", "sweep_arguments"]


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--preset",
        default="auto",
        choices=["auto", "mini", "small", "paper"],
        help="auto: paper where a CUDA device is visible, otherwise mini",
    )
    parser.add_argument(
        "--data", help="data sets, comma-separated; the preset's own if unset", metavar="D"
    )
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument(
        "--seeds", default=None, help="comma-separated, e.g. 0,1,2; the sweep's if unset"
    )
    parser.add_argument("--jobs", type=int, default=0, help="runs at once; 0 chooses")
    parser.add_argument("--out", type=Path, default=None, help="results/... if unset")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting for every row, as for ganstoch fit, e.g. trainer.max_steps=20",
    )
    parser.add_argument(
        "--report", action="store_true", help="train nothing: rebuild table and figures from OUT"
    )
    parser.add_argument(
        "--executor",
        default=None,
        choices=["local", "slurm"],
        help="submit each row as a job, of a Slurm cluster or of this machine, that outlives "
        "this command; --jobs is then how many run at once",
    )
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what each job asks Slurm for, e.g. partition=gpu, gpus_per_node=1, timeout_min=240",
    )


def asked_request(chosen: argparse.Namespace, *, sweep: str) -> Request:
    """What the parsed arguments ask for, of a sweep."""
    from ganstoch.runs.campaign import Request

    return Request(
        preset=chosen.preset,
        data=chosen.data.split(",") if chosen.data else None,
        root=chosen.root,
        seeds=chosen.seeds,
        jobs=chosen.jobs,
        out=chosen.out,
        sweep=sweep,
        settings=tuple(chosen.set),
        report_only=chosen.report,
        executor=chosen.executor,
        slurm=tuple(chosen.slurm),
    )
