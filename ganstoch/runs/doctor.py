"""`ganstoch doctor`: what is here, and what each missing thing costs, in one screen."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from jsonargparse import Namespace

from ganstoch import __version__
from ganstoch.errors import UserError

NEEDED = {"mini": {"digits"}, "small": {"cifar10"}, "paper": {"GPU", "svhn", "cifar10", "ffhq"}}


def doctor(options: Namespace) -> int:
    """Prints the findings; returns 1 if something that the preset needs is missing, else 0."""
    preset, missing = options.preset, []
    print(f"ganstoch {__version__}, Python {platform.python_version()}, preset {preset}")
    for name, here, words in examine(options.root):
        mark = "ok" if here else "missing"
        if not here and name in NEEDED[preset]:
            mark = "NEEDED"
            missing.append(name)
        print(f"  {mark:<8}{name:<19}{words}")
    able = f"cannot run as meant without: {', '.join(missing)}" if missing else "can run"
    print(f"preset {preset} {able}")
    return 1 if missing else 0


def examine(root: Path) -> Iterator[tuple[str, bool, str]]:
    """What is looked for, whether it is there, and where or what its absence costs; one by one."""
    import torch

    from ganstoch.data import Source
    from ganstoch.metrics.features.weights import FILES
    from ganstoch.metrics.neighbours import faiss_flavour
    from ganstoch.runs.fit import logged_in
    from ganstoch.runs.plan import open_data

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    yield "CPU", True, f"{cores} core(s), {memory:.0f} GiB, torch {torch.__version__}"
    gpu = torch.cuda.is_available()
    words = "no CUDA device: mini and small run here, paper takes months"
    if gpu:
        properties = torch.cuda.get_device_properties(0)
        words = f"{torch.cuda.device_count()} x {properties.name}, "
        words += f"{properties.total_memory / 2**30:.0f} GiB"
    yield "GPU", gpu, words
    try:
        cost = "no search on the GPU; pip install 'ganstoch[gpu]' or 'ganstoch[cpu]'"
        flavour = faiss_flavour()
        yield "FAISS", flavour is not None, flavour or cost
    except UserError as error:
        yield "FAISS", False, str(error)
    offline = "runs stay offline until wandb sync; wandb login"
    yield "W&B login", logged_in(), "uploads runs as they go" if logged_in() else offline
    path = FILES["inception"].path
    cost = "no semantic distances, no third row in the figures; ganstoch prepare inception"
    yield "Inception weights", path.exists(), str(path) if path.exists() else cost
    for kind in sorted(Source.__subclasses__(), key=lambda kind: kind.name):
        # A folder is no data set of its own, and a user's own source none of ours.
        if kind.name == "folder" or not kind.__module__.startswith("ganstoch."):
            continue
        try:
            images, modes = open_data(kind(), root)
        except UserError as error:
            yield kind.name, False, str(error)
        else:
            what = "images" if modes is None else "examples of known modes"
            yield kind.name, True, f"{len(images) if images else 0:,} {what}"
