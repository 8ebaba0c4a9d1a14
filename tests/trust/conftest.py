"""Commands in forked processes, which spares each the imports; counts of what was tried, last."""

import atexit
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
import torch

from ganstoch.cli import main
from ganstoch.data import Digits
from ganstoch.records import Record, read_record
from ganstoch.runs import pool
from ganstoch.runs.settings import understand

HERE = Path(__file__).parent
PROMISE = "promise"
PASSING = {"seconds", "hardware", "git_sha", "config"}
"""What a record may say otherwise elsewhere."""
LIMIT = 300.0
TINY = {
    "trainer.max_steps": 12,
    "checkpoint_every": 3,
    "evaluation.every": 4,
    "evaluation.queries": 8,
    "evaluation.semantic": "null",
    "model.generator.init_args.width": 16,
    "model.generator.init_args.latent_dim": 8,
    "model.discriminator.init_args.width": 16,
}
"""A run of 12 iterations, 4 checkpoints and 3 measurements."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tally", type=Path, default=None, help="write the counts as JSON")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.trust)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds to what was tried against a promise; counts only if the test passes."""

    def tally(promise: str, tried: int = 1) -> None:
        request.node.user_properties.append((PROMISE, (promise, tried)))

    return tally


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts: dict[str, dict[str, int]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == PROMISE and report.when == "call":
                    count = counts.setdefault(value[0], {"tried": 0, "kept": 0})
                    count["tried"] += value[1]
                    count["kept"] += value[1] if outcome == "passed" else 0
    if counts:
        terminalreporter.section("promises")
        table = pd.DataFrame(counts).T.sort_index()
        terminalreporter.write_line(table.to_markdown(tablefmt="plain", intfmt=","))
        if file := config.getoption("--tally"):
            file.write_text(json.dumps(dict(sorted(counts.items())), indent=1) + "\n")


@pytest.fixture(scope="session", autouse=True)
def digits_once() -> Iterator[None]:
    """Reads the digits once: enlarging them takes longer than training on them."""
    images = Digits().open(Path(), "train")
    understand([])  # makes a parser, which imports what parsing needs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "open", lambda _, root, split: images if split == "train" else None)
        yield


def run(words: Sequence[object], environment: dict[str, str]) -> NoReturn:
    """Runs a command in a forked process and ends it as Python would have."""
    status: Any = 1
    os.environ.clear()
    os.environ.update(environment)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = main([str(word) for word in words])
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


class Forked:
    """A forked process, with what a table needs of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid, self.started = pid, time.monotonic()
        self.returncode: int | None = None  # negative: the signal that ended it
        self.seconds = 0.0

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.seconds = time.monotonic() - self.started
        return self.returncode

    def wait(self) -> int:
        while (status := self.poll()) is None:
            if time.monotonic() - self.started > LIMIT:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def fork_row(command: Sequence[str], *, stdin: int, stdout: Any, stderr: Any, env: Any) -> Forked:
    """In the place of `subprocess.Popen`: a row that is forked rather than started."""
    if pid := os.fork():
        return Forked(pid)
    os.dup2(stdout.fileno(), 1)
    os.dup2(stderr.fileno(), 2)
    run(command[3:], env)


class Running(Forked):
    """A command of a test, which writes to a file."""

    def __init__(self, pid: int, log: Path) -> None:
        super().__init__(pid)
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def lines(self, word: str) -> list[str]:
        return [line for line in self.output.splitlines() if word in line]


class Lab:
    """A folder in which commands run, each in a process of its own."""

    def __init__(self, here: Path) -> None:
        self.here = here
        settings = [f"--{key}={value}" for key, value in TINY.items()]
        self.settings = ["--config=mini", "--data.n=64", *settings, "--quiet=true"]
        self.fit = ["fit", *self.settings, "--wandb.mode=disabled", "--out=run"]
        self.started: list[Running] = []

    def table(self, **changes: object) -> list[str]:
        """Words of a table of such runs, with some settings changed."""
        settings = TINY | {"wandb.mode": "disabled"} | changes
        words = ["table1", "--preset=mini", "--jobs=2", "--out=out"]
        return words + [f"--set={key}={value}" for key, value in settings.items()]

    def start(
        self, words: Sequence[object], *, first: Callable[[], object] | None = None, **env: str
    ) -> Running:
        """Starts a command after ``first`` was called in its process; it logs to a new file."""
        log = self.here / f"log{len(self.started)}"
        with warnings.catch_warnings(action="ignore"):  # of other threads: the test runner's
            pid = os.fork()
        if pid == 0:
            self._begin(words, log, first, env)
        self.started.append(Running(pid, log))
        return self.started[-1]

    def _begin(self, words: Any, log: Path, first: Any, env: dict[str, str]) -> NoReturn:
        """In the child: everything that a new process would have been given."""
        try:
            os.setsid()
            os.chdir(self.here)
            atexit._clear()
            warnings.resetwarnings()
            warnings.simplefilter("ignore")
            sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
            logging.getLogger().handlers.clear()
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for stream, number in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (out, 2)):
                os.dup2(stream, number)
            sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            forked = SimpleNamespace(**(vars(subprocess) | {"Popen": fork_row}))
            pool.subprocess = forked  # type: ignore
            if first is not None:
                first()
            run(words, {**os.environ, "OMP_NUM_THREADS": "1", **env})
        finally:
            os._exit(70)

    def run(self, words: Sequence[object], *, status: int = 0, **options: Any) -> Running:
        """Runs a command to its end, whose status is checked."""
        running = self.start(words, **options)
        assert running.wait() == status, running.output
        return running

    def close(self) -> None:
        """Ends what is still running, as after a test that failed."""
        for running in self.started:
            if running.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                running.wait()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def make_lab() -> type[Lab]:
    return Lab


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a run that nothing disturbed, and the seconds it took; do not touch."""
    lab = Lab(tmp_path_factory.mktemp("reference"))
    return lab.here / "run", lab.run(lab.fit).seconds


def essence(folder: Path) -> dict[str, Any]:
    """A run's record without what is of a machine and a moment."""
    record: Record = read_record(folder / "record.json")
    return record.model_dump(exclude=PASSING)


def state(path: Path) -> dict[str, Any]:
    """Every number of a checkpoint, but for the time it took."""
    content = torch.load(path, weights_only=True)
    content["callbacks"].pop("RecordWriter")
    return {key: content[key] for key in ("state_dict", "optimizer_states", "callbacks", "loops")}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture(scope="session")
def assert_same_run() -> Callable[[Path, Path], None]:
    """Record, images, panels and last checkpoint of two runs are the same bits."""

    def compare(ours: Path, reference: Path) -> None:
        assert essence(ours) == essence(reference)
        for name in ("samples.npz", "panels.npz"):
            with np.load(ours / name) as one, np.load(reference / name) as other:
                assert {k: one[k].tobytes() for k in one} == {k: other[k].tobytes() for k in other}
        checkpoints = (reference / "checkpoints").glob("*.ckpt")
        last = max(checkpoints, key=lambda path: int(path.stem.removeprefix("step=")))
        assert same(state(ours / "checkpoints" / last.name), state(last))

    return compare
