"""Runs in processes of their own, and what W&B wrote of them."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from pytorch_lightning import Trainer
from wandb.proto.wandb_internal_pb2 import Record as Entry

import ganstoch.runs.fit  # before the processes part, to spare each of them the imports
from ganstoch.callbacks.progress import Progress
from ganstoch.cli import main
from ganstoch.data import Digits
from ganstoch.records import read_record

STEPS = 8
TINY = {
    "trainer.max_steps": STEPS,
    "trainer.log_every_n_steps": 1,
    "checkpoint_every": 2,
    "evaluation.every": 2,
    "evaluation.queries": 8,
    "evaluation.semantic": "null",
    "model.generator.init_args.width": 16,
    "model.generator.init_args.latent_dim": 8,
    "model.discriminator.init_args.width": 16,
    "data.n": 64,
}
LIMIT = 300.0


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and a home of the test's own, and nothing of W&B's around."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def digits_once() -> Iterator[None]:
    """Reads the digits once: enlarging them takes longer than training on them."""
    assert ganstoch.runs.fit
    images = Digits().open(Path(), "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "open", lambda _, root, split: images if split == "train" else None)
        yield


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Words of `ganstoch fit` for a run of eight iterations on 64 digits."""
    return ("--config=mini", *(f"--{k}={v}" for k, v in TINY.items()), "--quiet=true")


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    said: str
    seconds: float

    def lines(self, word: str) -> list[str]:
        """Those that hold a word."""
        return [line for line in self.said.splitlines() if word in line]


@pytest.fixture(scope="session")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """Runs a command in a process of its own, which ends as any does.

    `first` is called in it before the command. A negative status is the signal that ended it.
    """

    folder = tmp_path_factory.mktemp("said")

    def apart(*words: object, first: Callable[[], object] | None = None, **env: str) -> Ended:
        started = time.monotonic()
        said = folder / "said.txt"
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            child = os.fork()  # of other threads there are only the test runner's
        if child == 0:
            _run([*map(str, words)], said, first, env)
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            time.sleep(0.02)
            if time.monotonic() - started > LIMIT:
                os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(ended[1])
        return Ended(status, said.read_text(), time.monotonic() - started)

    return apart


def _run(
    words: list[str], said: Path, first: Callable[[], object] | None, env: dict[str, str]
) -> NoReturn:
    """What the process does from the fork to its end."""
    status: Any = 70
    try:
        atexit._clear()  # the test runner's
        warnings.simplefilter("ignore")  # the test runner makes errors of them
        sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
        logging.getLogger().handlers.clear()
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(env)
        if first is not None:
            first()
        try:
            sys.exit(main(words))
        except SystemExit as end:
            status = end.code
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            status = 1
        atexit._run_exitfuncs()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@pytest.fixture(scope="session")
def when() -> Callable[[int, Callable[[Trainer], object]], Callable[[], None]]:
    """For `first` above: something happens when an iteration has ended."""

    def when(iteration: int, happens: Callable[[Trainer], object]) -> Callable[[], None]:
        usual = Progress.on_train_batch_end

        def and_then(self: Progress, trainer: Trainer, *arguments: Any) -> None:
            usual(self, trainer, *arguments)
            if trainer.global_step == iteration:
                happens(trainer)

        return lambda: setattr(Progress, "on_train_batch_end", and_then)

    return when


@dataclass(frozen=True)
class Logged:
    """What W&B's file of a run holds."""

    entries: tuple[Entry, ...]

    @property
    def kinds(self) -> list[str]:
        return [str(entry.WhichOneof("record_type")) for entry in self.entries]

    @property
    def run_id(self) -> str:
        return next(entry.run.run_id for entry in self.entries if entry.HasField("run"))

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for entry in self.entries:
            for item in [*entry.run.config.update, *entry.config.update]:
                found[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
        return found

    @property
    def history(self) -> list[dict[str, Any]]:
        return [
            {item.key or item.nested_key[0]: _value(item) for item in entry.history.item}
            for entry in self.entries
            if entry.HasField("history")
        ]

    @property
    def exit_code(self) -> int | None:
        codes = [entry.exit.exit_code for entry in self.entries if entry.HasField("exit")]
        return codes[0] if codes else None


def _value(item: Any) -> Any:
    if item.value_json:
        return json.loads(item.value_json)
    kind = item.WhichOneof("value")
    value = getattr(item, kind)
    return json.loads(value) if kind == "json" else value


@pytest.fixture(scope="session")
def logged() -> Callable[[Path], list[Logged]]:
    """What W&B holds of a run's folder, a file for each time that it was started."""

    def logged(folder: Path) -> list[Logged]:
        files = sorted(folder.glob("wandb/*run-*/run-*.wandb"))
        return [Logged(tuple(_entries(path.read_bytes()))) for path in files]

    return logged


def _entries(content: bytes) -> Iterator[Entry]:
    """The entries of a file in LevelDB's log format, behind W&B's own seven bytes.

    Blocks of 32 KiB hold pieces, each behind its checksum, length and kind: 1 for a whole entry, 2
    to 4 for the first, a middle and the last piece of one. A file may end anywhere.
    """
    assert content[:4] == b":W&B"
    at, whole = 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        if kind == 0 or at + 7 + length > len(content):
            return
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Entry.FromString(whole)
            whole = b""


@pytest.fixture(scope="session")
def assert_same_run() -> Callable[[Path, Path], None]:
    """Compares what two runs leave bit by bit: records, samples, weights, optimisers' state."""

    def compare(one: Path, other: Path) -> None:
        records = [read_record(folder / "record.json") for folder in (one, other)]
        assert records[0].metrics == records[1].metrics
        assert records[0].history == records[1].history
        assert (one / "samples.npz").read_bytes() == (other / "samples.npz").read_bytes()
        first, second = (_tensors(_state(folder)) for folder in (one, other))
        assert first.keys() == second.keys()
        assert len(first) > 50
        assert [name for name in first if not torch.equal(first[name], second[name])] == []

    return compare


def _state(folder: Path) -> Any:
    path = folder / "checkpoints" / f"step={STEPS}.ckpt"
    content = torch.load(path, weights_only=True)
    return {name: content[name] for name in ("state_dict", "optimizer_states")}


def _tensors(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return {name: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        key: tensor
        for part, inner in pairs
        if isinstance(inner, (dict, list, torch.Tensor))
        for key, tensor in _tensors(inner, f"{name}.{part}").items()
    }


@pytest.fixture(scope="session")
def reference(
    tmp_path_factory: pytest.TempPathFactory, apart: Callable[..., Ended], tiny: tuple[str, ...]
) -> Path:
    """The folder of a run without W&B; do not touch."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    ended = apart("fit", *tiny, "--wandb.mode=disabled", f"--out={folder}")
    assert ended.status == 0, ended.said
    assert not (folder / "wandb").exists()
    return folder
