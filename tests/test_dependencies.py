"""The bounds of pyproject.toml, the lock file and what the results were computed with agree."""

import runpy
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ganstoch.records import read_records

ROOT = Path(__file__).parents[1]
CONTENT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = CONTENT["project"]
LINES = (ROOT / "requirements.lock").read_text().splitlines()
LOCKED = dict(line.split("==") for line in LINES if not line.startswith("#"))
RECORDS = sorted((ROOT / "results").glob("*/records.jsonl.gz"))


def requirements_of(*extras: str) -> list[Requirement]:
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [Requirement(line) for line in lines]


def run_path(name: str) -> dict[str, Any]:
    """What a script beside this file defines."""
    return runpy.run_path(str(ROOT / "tests" / name))


def test_the_lock_holds_every_dependency_within_its_bounds() -> None:
    built_by = [Requirement(line) for line in CONTENT["build-system"]["requires"]]
    for requirement in [*requirements_of(*PROJECT["optional-dependencies"]), *built_by]:
        version = LOCKED[canonicalize_name(requirement.name)]
        assert Version(version) in requirement.specifier, requirement


def test_byte_code_is_kept_of_what_is_imported_anywhere() -> None:
    names = set(run_path("imports.py")["modules"]())
    # At the top, within functions alone, and by a name in quotes.
    assert {"ganstoch.cli", "torch", "sklearn.datasets", "wandb", "faiss"} <= names


def test_the_lock_names_versions_and_nothing_else() -> None:
    assert list(LOCKED) == sorted(LOCKED)
    assert all(str(Version(version)) for version in LOCKED.values())
    assert all(name == canonicalize_name(name) for name in LOCKED)
    # Both of FAISS, of which never more than one is here, and no installer.
    assert {"faiss-cpu", "faiss-gpu", "nvidia-cublas-cu12", "pyyaml", "pluggy"} <= LOCKED.keys()
    assert not {"ganstoch", "pip"} & LOCKED.keys()
    assert not [line for line in LINES if "://" in line or "@" in line or " /" in line]


def test_the_lock_is_what_the_results_were_computed_with() -> None:
    versions = [(path, each.versions) for path in RECORDS for each in read_records(path)]
    assert len(versions) >= 30
    for path, used in versions:
        for name in ("torch", "pytorch-lightning", "torchmetrics", "numpy", "faiss-cpu"):
            if used[name] != LOCKED[name]:
                assert (name, used[name]) == ("numpy", "1.26.4"), path
                assert path.parent.name in ("table1-mini", "table1_matched-mini")
    assert LINES[1].startswith(f"# {used['python']}, ")


def test_the_lowest_versions_are_within_their_bounds() -> None:
    versions = dict(line.split("==") for line in run_path("lowest.py")["lowest"](PROJECT))
    requirements = requirements_of("cpu", "cluster", "test")
    assert versions.keys() == {requirement.name for requirement in requirements}
    for requirement in requirements:
        assert Version(versions[requirement.name]) in requirement.specifier
