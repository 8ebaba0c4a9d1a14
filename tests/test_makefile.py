"""The Makefile, read by make itself; nothing is built."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ganstoch.cli import main

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
VARIABLES = ["PRESET", "SEEDS", "JOBS", "DATA", "ROOT", "OUT", "SWEEP", "SYNTHETIC", "REMEDIES"]
VARIABLES += ["PYTHON"]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def make(*words: str) -> str:
    """What make prints, as if called by hand: these tests may themselves run under make."""
    hidden = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", *VARIABLES)
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        ["make", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def targets() -> list[str]:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.M)
    assert phony is not None
    return phony[1].split()


def test_help_lists_every_target(targets: list[str]) -> None:
    lines = make("help").splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(targets)
    assert "table1" in targets
    assert all(len(line.split()) > 1 for line in lines)


def installs(target: str) -> list[str]:
    """The lines by which make would install what a target needs, were nothing there yet."""
    lines = make("--always-make", "--dry-run", target).replace("\\\n", " ").splitlines()
    return [line for line in lines if "pip install" in line]


@pytest.mark.parametrize("target", ["install", "test", "lint", "type", "table1", "test-trust"])
def test_what_is_installed_is_locked(target: str) -> None:
    assert installs(target)
    assert "pip install" in make("--dry-run", "--what-if=requirements.lock", "install")
    for line in installs(target):
        before = line.partition("pip install")[0].split()
        assert {f"PIP{word}_CONSTRAINT=requirements.lock" for word in ("", "_BUILD")} <= {*before}


@pytest.mark.parametrize(("target", "place"), [("test-latest", 0), ("lock", 0), ("test-lowest", 2)])
def test_other_versions_have_an_environment_of_their_own(target: str, place: int) -> None:
    others = installs(target)[place:]
    assert len(others) == 1
    assert ".venv-l" in others[0]
    assert "requirements.lock" not in others[0]


@pytest.mark.parametrize(
    ("target", "words", "name"),
    [
        ("table1", "PRESET=small SEEDS=0,1 JOBS=2 OUT=x DATA=foo ROOT=d SWEEP=noise", "'foo'"),
        ("remedies", "SYNTHETIC=ring REMEDIES=plain,foo SEEDS=0,1 OUT=x", "'foo'"),
    ],
)
def test_commands_get_what_make_is_given_and_take_it(
    target: str, words: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *line = shlex.split(make("-n", target, *words.split()).splitlines()[-1])
    assert (program, line[0]) == (".venv/bin/ganstoch", target)
    for word in words.split():
        key, _, value = word.partition("=")
        assert line[line.index(f"--{key.lower()}") + 1] == value
    assert main(line) == 2
    assert name in capsys.readouterr().err
