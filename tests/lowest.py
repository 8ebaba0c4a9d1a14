"""Prints the lowest versions that pyproject.toml allows, as constraints for pip.

`make test-lowest` installs them in an environment of their own and runs the tests there.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

EXTRAS = ("cpu", "cluster", "test")


def lowest(project: dict[str, object]) -> list[str]:
    """A line `name==version` for every direct dependency.

    Raises:
        ValueError: if a dependency has no lower bound, which nothing could then be tried against.
    """
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in optional[extra])]
    found = {}
    for requirement in map(Requirement, lines):
        bounds = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
        if len(bounds) != 1:
            raise ValueError(f"{requirement} has no lower bound")
        found[requirement.name] = f"{requirement.name}=={bounds[0]}"
    return [found[name] for name in sorted(found)]


if __name__ == "__main__":
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    print("\n".join(lowest(content["project"])))
