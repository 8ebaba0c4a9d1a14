"""Killed at any moment, and started again: the same bits, nothing lost, nothing half-read."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganstoch.callbacks.checkpoints import newest_checkpoint
from ganstoch.records import Record, read_record

PASSING = {"seconds", "hardware", "git_sha"}
"""What a record may say otherwise after a kill."""


def essence(record: Record) -> dict[str, Any]:
    """A record without what is of this machine and moment."""
    content = record.model_dump(exclude=PASSING)
    content["config"] = {k: v for k, v in record.config.items() if k not in ("out", "wandb")}
    return content


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


def assert_same_run(ours: Path, reference: Path) -> None:
    """Record, images, panels and last checkpoint: the same bits; and nothing else lies about."""
    assert essence(read_record(ours / "record.json")) == essence(
        read_record(reference / "record.json")
    )
    for name in ("samples.npz", "panels.npz"):
        with np.load(ours / name) as one, np.load(reference / name) as other:
            assert {k: one[k].tobytes() for k in one} == {k: other[k].tobytes() for k in other}
    last = sorted((reference / "checkpoints").glob("*.ckpt"), key=lambda p: int(p.stem[5:]))[-1]
    assert same(state(ours / "checkpoints" / last.name), state(last))

    def files(folder: Path) -> set[str]:
        return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.name != "log.txt"}

    assert files(ours) == files(reference)


def assert_nothing_half_read(folder: Path, run: str) -> None:
    """What has its name is whole, or is known not to be."""
    for path in folder.rglob("*.json"):
        json.loads(path.read_bytes())
    for path in folder.rglob("*.npz"):
        with np.load(path) as arrays:
            assert all(arrays[name].size for name in arrays)
    sound = newest_checkpoint(folder / "checkpoints", run=run)
    if sound is not None:
        torch.load(sound, weights_only=True)


def moments() -> Iterator[tuple[str, int]]:
    """A run has 24 steps, 3 measurements and writes 8 files: every kind of moment, often."""
    rng = random.Random(0)
    for kind, of, times in (
        ("step", 24, 5),
        ("evaluation", 3, 3),
        ("half", 8, 7),
        ("written", 8, 7),
        ("named", 8, 6),
    ):
        for number in rng.sample(range(1, of + 1), times):
            yield kind, number


@pytest.mark.parametrize("moment", [*moments()], ids=lambda m: f"{m[0]}{m[1]}")
def test_killed_at_a_chosen_moment(
    moment: tuple[str, int],
    forge: Any,
    fit: list[str],
    reference: tuple[Path, float],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    log = tmp_path / "log"
    run = read_record(reference[0] / "record.json").config_hash
    assert forge.start(fit, cwd=tmp_path, log=log, kill=moment).wait() == -9
    assert_nothing_half_read(tmp_path / "run", run)
    assert forge.start(fit, cwd=tmp_path, log=log).wait() == 0, log.read_text()
    assert_same_run(tmp_path / "run", reference[0])
    tally("fit killed at a chosen moment, resumed to the same bits")


def run_and_kill(
    forge: Any, words: list[str], here: Path, *, seed: int, seconds: float, times: int
) -> tuple[int, bool]:
    """Starts a command and kills it from outside after a random time, again and again.

    Returns:
        How often it was killed, and whether it ended by itself before the last of them.
    """
    rng, kills = random.Random(seed), 0
    for _ in range(times):
        running = forge.start(words, cwd=here, log=here / "log")
        time.sleep(rng.uniform(0.2, 0.9) * seconds)
        kill = os.killpg if rng.random() < 0.5 else os.kill  # with its rows, or alone
        with contextlib.suppress(ProcessLookupError):  # it has ended
            kill(running.pid, signal.SIGKILL)
        if running.wait() == 0:
            return kills, True
        kills += 1
    return kills, False


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(
    seed: int,
    forge: Any,
    fit: list[str],
    reference: tuple[Path, float],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    """From outside, after a random time, up to eight times before it may end."""
    log = tmp_path / "log"
    run = read_record(reference[0] / "record.json").config_hash
    kills, seconds = 0, reference[1]
    for turn in range(8):
        options = {"seed": 10 * seed + turn, "seconds": seconds, "times": 1}
        killed, ended = run_and_kill(forge, fit, tmp_path, **options)
        kills += killed
        if ended and kills:
            break
        if ended:  # faster than the undisturbed run was: from the start, and earlier
            shutil.rmtree(tmp_path / "run")
            seconds /= 2
        else:
            assert_nothing_half_read(tmp_path / "run", run)
    assert kills
    assert forge.start(fit, cwd=tmp_path, log=log).wait() == 0, log.read_text()
    assert_same_run(tmp_path / "run", reference[0])
    tally("fit killed at random, resumed to the same bits", kills)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("seed", range(2))
def test_asked_to_stop(
    number: signal.Signals,
    seed: int,
    forge: Any,
    fit: list[str],
    reference: tuple[Path, float],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    """A checkpoint first, once training has begun; an exit status that is not 0; no traceback."""
    log = tmp_path / "log"
    running = forge.start([*fit, "--checkpoint_every=1000"], cwd=tmp_path, log=log)
    progress = tmp_path / "run" / "progress.json"
    while not progress.exists():
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0.0, 0.1) * reference[1])
    os.kill(running.pid, number)
    status = running.wait()
    if not (tmp_path / "run" / "record.json").exists():
        assert status == 130, log.read_text()
        assert "interrupted; the same command goes on" in log.read_text()
        assert list((tmp_path / "run" / "checkpoints").glob("*.ckpt"))
    assert "Traceback" not in log.read_text()
    assert forge.start(fit, cwd=tmp_path, log=log).wait() == 0
    assert read_record(tmp_path / "run" / "record.json").history == (
        read_record(reference[0] / "record.json").history
    )
    tally(f"fit stopped by {number.name}, resumed to the same bits", int(status == 130))


@pytest.fixture(scope="module")
def words(tiny: dict[str, str]) -> list[str]:
    """A table of five such runs."""
    settings = [f"--set={key}={value}" for key, value in tiny.items()]
    return ["table1", "--preset=mini", "--jobs=2", "--out=out", *settings]


@pytest.fixture(scope="module")
def table(
    forge: Any, words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """A table that nothing disturbed, and the seconds it took."""
    here = tmp_path_factory.mktemp("table")
    started = time.monotonic()
    assert forge.start(words, cwd=here, log=here / "log").wait() == 0
    return here / "out", time.monotonic() - started


@pytest.mark.parametrize("seed", range(2))
def test_a_table_killed_again_and_again(
    seed: int,
    forge: Any,
    words: list[str],
    table: tuple[Path, float],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    """Its own process alone, whose rows go on, or all of them; the next one picks up either."""
    log = tmp_path / "log"
    kills, _ = run_and_kill(forge, words, tmp_path, seed=seed, seconds=table[1], times=4)
    assert forge.start(words, cwd=tmp_path, log=log).wait() == 0, log.read_text()
    rows = sorted(path.name for path in (table[0] / "runs").iterdir())
    assert sorted(path.name for path in (tmp_path / "out" / "runs").iterdir()) == rows
    assert len(rows) == 5
    for row in rows:
        assert_same_run(tmp_path / "out" / "runs" / row, table[0] / "runs" / row)
    assert numbers(tmp_path / "out" / "table1.csv") == numbers(table[0] / "table1.csv")
    tally("table1 killed at random, resumed to the same bits", kills)


def numbers(table: Path) -> list[dict[str, str]]:
    """Its rows without times."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 5
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
