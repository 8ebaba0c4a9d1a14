"""What a record says of the machine that made it."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import version
from typing import Any

import pytest

from ganstoch.callbacks.run_folder import git_sha, hardware, versions


def test_versions_of_what_decides_numbers() -> None:
    packages = versions()
    assert packages["python"] == platform.python_version()
    assert packages["torch"] == version("torch")
    assert {"ganstoch", "pytorch-lightning", "numpy"} <= set(packages)
    assert "thread(s)" in hardware()


def test_commit_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    sha = git_sha()
    assert sha is None or re.fullmatch(r"[0-9a-f]{40}\+?", sha)

    def no_git(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert git_sha() is None
