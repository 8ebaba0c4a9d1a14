"""Counts what was tried against each promise, and prints the counts last, as a table."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ORDER = "promise"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tally", type=Path, default=None, help="write the counts as JSON")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.trust)


@pytest.fixture(scope="session")
def tiny() -> dict[str, str]:
    """Settings of a run of 12 iterations, 4 checkpoints and 3 measurements."""
    return {
        "trainer.max_steps": "12",
        "checkpoint_every": "3",
        "evaluation.every": "4",
        "evaluation.queries": "8",
        "evaluation.semantic": "null",
        "model.generator.init_args.width": "16",
        "model.generator.init_args.latent_dim": "8",
        "model.discriminator.init_args.width": "16",
        "wandb.mode": "disabled",
    }


@pytest.fixture(scope="session")
def fit(tiny: dict[str, str]) -> list[str]:
    """Words of that run, on 64 digits, into a folder ``run``."""
    settings = [f"--{key}={value}" for key, value in tiny.items()]
    return ["fit", "--config=mini", "--data.n=64", *settings, "--out=run"]


@pytest.fixture(scope="session")
def reference(
    forge: Forge, fit: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """That run's folder when nothing disturbed it, and the seconds it took; do not touch."""
    here = tmp_path_factory.mktemp("reference")
    started = time.monotonic()
    assert forge.start(fit, cwd=here, log=here / "log").wait() == 0, (here / "log").read_text()
    return here / "run", time.monotonic() - started


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds to what was tried against a promise; counts only if the test passes."""

    def tally(promise: str, tried: int = 1) -> None:
        request.node.user_properties.append((ORDER, (promise, tried)))

    return tally


class Running:
    """A command that was forked."""

    def __init__(self, answers: Iterator[str]) -> None:
        self.pid = int(next(answers))
        self.status: int | None = None
        self._answers = answers

    def wait(self) -> int:
        """Its status; -9 if it was killed."""
        if self.status is None:
            self.status = int(next(self._answers))
        return self.status


class Forge:
    """Starts `ganstoch` commands without their start-up; one at a time. See forge.py."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(HERE / "forge.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"},
        )
        assert self._server.stdout is not None
        self._answers = self._server.stdout
        self._last: Running | None = None
        assert next(self._answers) == "ready\n"

    def start(
        self,
        words: Sequence[object],
        *,
        cwd: Path,
        log: Path,
        kill: tuple[str, int] | None = None,
        weather: str | None = None,
        **env: str,
    ) -> Running:
        """Starts a command; the one before is killed if it was not waited for."""
        self.stop()
        request: dict[str, Any] = {
            "words": [str(word) for word in words],
            "cwd": str(cwd),
            "log": str(log),
        }
        request |= {"kill": kill, "weather": weather, "env": env}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        self._last = Running(self._answers)
        return self._last

    def stop(self) -> None:
        """Ends what is still running, as after a test that failed."""
        if self._last is not None and self._last.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._last.pid, signal.SIGKILL)
            self._last.wait()

    def close(self) -> None:
        self.stop()
        for pipe in (self._server.stdin, self._server.stdout):
            assert pipe is not None
            pipe.close()
        self._server.wait()


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.close()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts: dict[str, list[int]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == ORDER and report.when == "call":
                    promise, tried = value
                    count = counts.setdefault(promise, [0, 0])
                    count[0] += tried
                    count[1] += tried if outcome == "passed" else 0
    if not counts:
        return
    width = max(map(len, counts))
    terminalreporter.section("promises")
    terminalreporter.write_line(f"{'promise':<{width}}  tried   kept")
    for promise, (tried, kept) in sorted(counts.items()):
        terminalreporter.write_line(f"{promise:<{width}}  {tried:>5,}  {kept:>5,}")
    if file := config.getoption("--tally"):
        content = {promise: {"tried": t, "kept": k} for promise, (t, k) in sorted(counts.items())}
        file.write_text(json.dumps(content, indent=1) + "\n")
