"""How much there is to read: lines, files, and the files that one training run passes through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from ganstoch.remedies.base import HOOKS

PACKAGE = Path(__file__).parents[1] / "ganstoch"
COUNT = """
import json, sys, threading
from pathlib import Path

package, seen = sys.argv[1], {}

def profile(frame, event, argument):
    code = frame.f_code
    # A module's or class's body is no function, nor is a comprehension at its top.
    if event == "call" and code.co_filename.startswith(package) and code.co_flags & 1:
        if not code.co_name.startswith("<"):
            seen.setdefault(code.co_filename[len(package):], code.co_name)

threading.setprofile(profile)
sys.setprofile(profile)
from ganstoch.cli import main

words = ["--config=mini", "--trainer.max_steps=2", f"--out={sys.argv[2]}/run", "--quiet=true"]
status = main(["fit", *words])
sys.setprofile(None)
Path(sys.argv[2], "seen.json").write_text(json.dumps(seen))
sys.exit(status)
"""


def lengths(folder: Path = PACKAGE) -> list[int]:
    """Lines of every file of Python in a folder."""
    return [len(path.read_text().splitlines()) for path in folder.rglob("*.py")]


def test_the_package_has_at_most_31900_lines() -> None:
    assert sum(lengths()) <= 31_900


def test_the_tests_have_at_most_27460_lines() -> None:
    assert sum(lengths(Path(__file__).parent)) <= 27_460


def test_the_median_file_has_at_most_120_lines() -> None:
    assert median(lengths()) <= 120


def test_a_remedy_has_at_most_14_hooks() -> None:
    assert len(HOOKS) <= 14, HOOKS


def test_a_run_passes_through_at_most_35_files(tmp_path: Path) -> None:
    """Files of which a function is called by ``ganstoch fit --config mini``."""
    command = [sys.executable, "-c", COUNT, f"{PACKAGE}/", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    files = sorted(json.loads((tmp_path / "seen.json").read_text()))
    assert "training/gan.py" in files
    assert len(files) <= 35, f"{len(files)} files: {', '.join(files)}"
