"""Prints the exact versions of what is installed here and what ganstoch needs, down to the last.

`make lock` writes them to requirements.lock, for `pip install -c`. FAISS comes in two packages that
exclude each other: of the one that is not here, pip tells what it would install.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONTENT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
EXTRAS = CONTENT["project"]["optional-dependencies"]


def direct() -> list[str]:
    """What pyproject.toml asks for, to build, to run, to test and to develop."""
    lines = [*CONTENT["build-system"]["requires"], *CONTENT["project"]["dependencies"]]
    return [*lines, *(line for extra in EXTRAS.values() for line in extra)]


def is_here(line: str) -> bool:
    """Whether a requirement's package is installed."""
    try:
        distribution(Requirement(line).name)
    except PackageNotFoundError:
        return False
    return True


def needed(lines: Iterable[str], extras: Iterable[str], seen: dict[str, set[str]]) -> set[str]:
    """Canonical names of what the lines ask for here, and of all that this needs in turn."""
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": e}) for e in extras):
            continue
        name = canonicalize_name(requirement.name)
        asked = {"", *requirement.extras}
        if not asked <= seen.setdefault(name, set()):
            seen[name] |= asked
            needed(distribution(name).requires or [], asked, seen)
    return set(seen)


def would_be_installed(lines: list[str]) -> dict[str, str]:
    """Versions of what is missing here for the lines, as the package index serves them."""
    if not lines:
        return {}
    options = ["--quiet", "--disable-pip-version-check", "--dry-run", "--report", "-"]
    command = [sys.executable, "-m", "pip", "install", *options, *lines]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    found = [each["metadata"] for each in report["install"]]
    return {canonicalize_name(each["name"]): each["version"] for each in found}


def locked() -> list[str]:
    """The lines of the lock file."""
    here, absent = [], []
    for line in direct():
        (here if is_here(line) else absent).append(line)
    names = needed(here, [""], {}) - {"pip"}  # which comes with Python, and a tool asks for
    versions = {name: distribution(name).version for name in names}
    versions |= would_be_installed(absent)
    return [
        f"# ganstoch[{','.join(EXTRAS)}] and all it needs, as of the README's results: Python",
        f"# {platform.python_version()}, {platform.system()} {platform.machine()}. "
        "Written by `make lock`; use it as",
        "#   pip install -c requirements.lock 'ganstoch[cpu]'",
        *(f"{name}=={versions[name]}" for name in sorted(versions)),
    ]


if __name__ == "__main__":
    print("\n".join(locked()))
