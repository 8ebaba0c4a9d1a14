"""Prints the lowest versions that pyproject.toml allows, as constraints for pip.

`make test-lowest` installs them in an environment of their own and runs the tests there.
"""

import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

EXTRAS = ("cpu", "cluster", "test")


def lowest(project: dict[str, Any]) -> list[str]:
    """A line `name==version` for every direct dependency, each of which has one lower bound."""
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in optional[extra])]
    versions = {}
    for requirement in map(Requirement, lines):
        (version,) = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
        versions[requirement.name] = f"{requirement.name}=={version}"
    return [versions[name] for name in sorted(versions)]


if __name__ == "__main__":
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    print("\n".join(lowest(content["project"])))
