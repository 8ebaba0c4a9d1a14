"""`ganstoch doctor`: what is here, and what each missing thing costs, in one screen."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ganstoch import __version__
from ganstoch.errors import UserError

__all__ = ["Finding", "doctor", "examine"]

NEEDED = {
    "mini": {"digits"},
    "small": {"cifar10"},
    "paper": {"GPU", "svhn", "cifar10", "ffhq"},
}


class Finding(NamedTuple):
    """One thing looked for; ``words``: what was found, or what its absence costs."""

    name: str
    here: bool
    words: str


def doctor(*, preset: str, root: Path) -> int:
    """Prints the findings; returns 1 if something that the preset needs is missing, else 0."""
    needed = NEEDED[preset]
    missing = []
    print(f"ganstoch {__version__}, Python {platform.python_version()}, preset {preset}")
    for finding in examine(root):
        mark = "ok" if finding.here else ("NEEDED" if finding.name in needed else "missing")
        print(f"  {mark:<8}{finding.name:<19}{finding.words}")
        if mark == "NEEDED":
            missing.append(finding.name)
    if missing:
        print(f"preset {preset} cannot run as meant without: {', '.join(missing)}")
    else:
        print(f"preset {preset} can run")
    return 1 if missing else 0


def examine(root: Path) -> Iterator[Finding]:
    """Looks for everything, one thing at a time."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    yield Finding("CPU", True, f"{cores} core(s), {memory:.0f} GiB, torch {torch.__version__}")
    yield _gpu()
    yield _faiss()
    yield _wandb()
    yield _inception()
    yield from _datasets(root)


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", False, "no CUDA device: mini and small run here, paper takes months")
    properties = torch.cuda.get_device_properties(0)
    words = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return Finding("GPU", True, f"{torch.cuda.device_count()} x {words}")


def _faiss() -> Finding:
    from ganstoch.metrics.neighbours import faiss_flavour

    try:
        flavour = faiss_flavour()
    except UserError as error:
        return Finding("FAISS", False, str(error))
    if flavour.startswith("none"):
        return Finding(
            "FAISS",
            False,
            "torch searches, as exactly but more slowly; pip install 'ganstoch[cpu]'",
        )
    return Finding("FAISS", True, flavour)


def _wandb() -> Finding:
    from ganstoch.runs.fit import logged_in

    if logged_in():
        return Finding("W&B login", True, "runs are uploaded as they go")
    return Finding("W&B login", False, "runs stay offline until wandb sync; wandb login")


def _inception() -> Finding:
    from ganstoch.metrics.features import inception_weights_path

    path = inception_weights_path()
    if path.exists():
        return Finding("Inception weights", True, str(path))
    cost = "no semantic distances, no third row in the figures"
    return Finding("Inception weights", False, f"{cost}; ganstoch prepare inception")


def _datasets(root: Path) -> Iterator[Finding]:
    """Every packaged source but `folder`, which is no data set of its own."""
    from ganstoch.data import Source
    from ganstoch.metrics.modes import make_mode_scorer

    for kind in sorted(Source.__subclasses__(), key=lambda kind: kind.name):
        if kind.name == "folder" or not kind.__module__.startswith("ganstoch."):
            continue
        try:
            images, world = kind().open(root, "train"), kind().known_modes(root)
            if world is not None:
                make_mode_scorer(world)
        except UserError as error:
            yield Finding(kind.name, False, str(error))
        else:
            what = "images" if world is None else "examples of known modes"
            yield Finding(kind.name, True, f"{len(images) if images else 0:,} {what}")
