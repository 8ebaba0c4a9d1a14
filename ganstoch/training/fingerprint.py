"""What tells whether two runs are the same bits, and if not, why.

Digests of every number that training has made; versions, hardware and the commit that made them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganstoch import __version__

__all__ = ["digest", "fingerprint", "git_sha", "hardware", "versions"]

_PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "faiss-cpu", "faiss-gpu")
"""Packages that decide numbers."""
_LENGTH = 16
"""Hexadecimal digits kept: chance would have to hit one in 2**64."""


def fingerprint(
    *, networks: dict[str, nn.Module], optimizers: Sequence[Optimizer], images: Tensor
) -> dict[str, str]:
    """A digest for each network by name, the optimizers' moments together, and images."""
    digests = {name: digest(network.state_dict().values()) for name, network in networks.items()}
    if optimizers:
        digests["optimizers"] = digest(
            value
            for optimizer in optimizers
            for moments in optimizer.state_dict()["state"].values()
            for _, value in sorted(moments.items())
        )
    return digests | {"images": digest([images])}


def digest(tensors: Iterable[Tensor]) -> str:
    """Of the bytes of tensors, in their order, whatever device they lie on."""
    found = hashlib.sha256()
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()[:_LENGTH]


def versions() -> dict[str, str]:
    """Versions of the installed packages that decide numbers."""
    packages = {"python": platform.python_version(), "ganstoch": __version__}
    for package in _PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return packages


def hardware() -> str:
    """The processor and the GPUs, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    words = [f"{os.cpu_count()} x {model}", f"{torch.get_num_threads()} thread(s)"]
    words += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(words)


def git_sha() -> str | None:
    """The commit this package was run from, with `+` where its files differ; None outside git."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # an installed copy is in nobody's history
        differs = git("status", "--porcelain", "--untracked-files=no", str(here.parent))
        return git("rev-parse", "HEAD") + ("+" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return None
