"""The composite action and the pre-commit hook, run as far as that goes without their hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a process beside the sets: ``train.npy``, ``clean.npy`` and ``copied.npy``."""
    rng = np.random.default_rng(0)
    train, clean = rng.integers(0, 256, (2, 120, 8, 8), dtype=np.uint8)
    copied = np.concatenate([train[:30], clean[30:]])
    for name, images in {"train": train, "clean": clean, "copied": copied}.items():
        np.save(tmp_path / f"{name}.npy", images)
    scripts = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
    }


def run_action(place: Path, environment: dict[str, str], **inputs: str) -> int:
    """Exit status of the action's step ``Audit``, with its inputs put in as GitHub does."""
    (step,) = [step for step in ACTION["runs"]["steps"] if step["name"] == "Audit"]
    values = {name: entry.get("default", "") for name, entry in ACTION["inputs"].items()} | inputs

    def fill(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: values[match[1]], text)

    variables = environment | {name: fill(text) for name, text in step["env"].items()}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(shell, cwd=place, env=variables, check=False).returncode


def test_the_action_fails_a_copying_generator(tmp_path: Path, environment: dict[str, str]) -> None:
    sets = {"real": "train.npy", "generated": "copied.npy", "out": "a report; touch hacked"}
    assert run_action(tmp_path, environment, **sets) == 1
    suite = ElementTree.parse(tmp_path / sets["out"] / "checks.xml").getroot()
    assert suite.attrib["failures"] == "1"
    assert (tmp_path / sets["out"] / "report.html").is_file()
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("private", ["true", "yes"])  # what is not "false" is private
def test_the_action_passes_a_clean_one(
    tmp_path: Path, environment: dict[str, str], private: str
) -> None:
    sets = {"real": "train.npy", "generated": "clean.npy", "max-copied": "0.2", "private": private}
    assert run_action(tmp_path, environment, **sets) == 0
    assert "train.npy" not in (tmp_path / "audit" / "report.json").read_text()


def test_inputs_are_no_part_of_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert set(step) <= {"name", "shell", "env", "run"}
    named = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text())
    assert sorted(named) == sorted(ACTION["inputs"])


@pytest.mark.parametrize(("generated", "passes"), [("clean.npy", True), ("copied.npy", False)])
def test_the_hook_runs_before_a_push(
    tmp_path: Path, environment: dict[str, str], generated: str, passes: bool
) -> None:
    """By pre-commit itself, with the program that is installed here in place of a new one."""
    pytest.importorskip("pre_commit")
    (hook,) = HOOKS
    local = {key: value for key, value in hook.items() if key != "additional_dependencies"}
    local |= {"language": "system", "args": ["--real", "train.npy", "--generated", generated]}
    local["args"] += ["--fail-on", "memorization"]
    config = {"repos": [{"repo": "local", "hooks": [local]}]}
    (tmp_path / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    program = [sys.executable, "-m", "pre_commit"]
    manifest = [*program, "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")]
    assert subprocess.run(manifest, env=environment, check=False).returncode == 0
    subprocess.run(["git", "init", "-q", str(tmp_path)], env=environment, check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "-A"], env=environment, check=True)
    command = [*program, "run", "--hook-stage", "pre-push", "--all-files"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, check=False)
    assert (run.returncode == 0) is passes
    assert (tmp_path / "audit" / "report.json").is_file()
