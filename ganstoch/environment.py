"""What a result was computed with: packages, processor and GPUs, commit."""

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ganstoch import __version__

# Packages that decide numbers.
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "faiss-cpu", "faiss-gpu")


def versions() -> dict[str, str]:
    """Versions of the installed packages that decide numbers."""
    packages = {"python": platform.python_version(), "ganstoch": __version__}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
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
    package = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an installed copy is in no history
        differs = git("status", "--porcelain", "--untracked-files=no", str(package))
        return git("rev-parse", "HEAD") + ("+" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return None
