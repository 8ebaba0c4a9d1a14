"""Runs with W&B around them, and what it wrote of them."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Trainer
from wandb.proto.wandb_internal_pb2 import Record as Entry

from ganstoch.callbacks.progress import Progress


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and a home of the test's own, and nothing of W&B's around."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def when() -> Callable[[int, Callable[[Trainer], object]], Callable[[], None]]:
    """For ``first`` of a command: something happens when an iteration has ended."""

    def when(iteration: int, happens: Callable[[Trainer], object]) -> Callable[[], None]:
        usual = Progress.on_train_batch_end

        def and_then(self: Progress, trainer: Trainer, *arguments: Any) -> None:
            usual(self, trainer, *arguments)
            if trainer.global_step == iteration:
                happens(trainer)

        return lambda: setattr(Progress, "on_train_batch_end", and_then)

    return when


def stop(trainer: Any) -> None:
    """As a cluster does that takes a machine away."""
    trainer.loggers[0].mark_preempting()
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def preempted(when: Callable[..., Any]) -> Callable[[], None]:
    """For ``first`` of a command: it is stopped after five iterations."""
    return when(5, stop)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Logged:
    """What W&B's file of a run holds."""

    entries: tuple[Entry, ...]

    @property
    def kinds(self) -> list[str]:
        return [str(entry.WhichOneof("record_type")) for entry in self.entries]

    @property
    def run_id(self) -> str:
        return str(next(entry.run.run_id for entry in self.entries if entry.HasField("run")))

    @property
    def config(self) -> dict[str, Any]:
        return {
            item.key or ".".join(item.nested_key): json.loads(item.value_json)
            for entry in self.entries
            for item in [*entry.run.config.update, *entry.config.update]
        }

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
