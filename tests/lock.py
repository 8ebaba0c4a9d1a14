"""Prints the exact versions of all that is installed here, for requirements.lock.

`make lock` runs it where nothing but ganstoch and what it needs is installed. FAISS comes in two
packages that exclude each other: of the one that is not here, pip tells what it would install.
"""

import json
import platform
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONTENT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
EXTRAS = CONTENT["project"]["optional-dependencies"]


def would_be_installed(lines: list[str]) -> dict[str, str]:
    """Versions of what is missing here for the lines, as the package index serves them."""
    options = ["--quiet", "--disable-pip-version-check", "--dry-run", "--report", "-"]
    command = [sys.executable, "-m", "pip", "install", *options, *lines]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    packages = [each["metadata"] for each in report["install"]]
    return {canonicalize_name(each["name"]): each["version"] for each in packages}


def locked() -> list[str]:
    """The lines of the lock file."""
    versions: dict[str, str] = {canonicalize_name(d.name): d.version for d in distributions()}
    lines = [line for extra in EXTRAS.values() for line in extra]
    absent = [line for line in lines if canonicalize_name(Requirement(line).name) not in versions]
    versions |= would_be_installed(absent)
    return [
        f"# ganstoch[{','.join(EXTRAS)}] and all it needs, as of the README's results: Python",
        f"# {platform.python_version()}, {platform.system()} {platform.machine()}. "
        "Written by `make lock`; use it as",
        "#   pip install -c requirements.lock 'ganstoch[cpu]'",
        *(f"{n}=={versions[n]}" for n in sorted(versions) if n not in ("ganstoch", "pip")),
    ]


if __name__ == "__main__":
    print("\n".join(locked()))
