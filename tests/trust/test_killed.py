"""Killed at any moment, and started again: the same bits, nothing lost, nothing half-read."""

import contextlib
import csv
import io
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import ganstoch.records
from ganstoch.callbacks.checkpoints import newest_checkpoint
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.records import read_record

Make = Callable[..., Any]


def assert_same_files(ours: Path, reference: Path) -> None:
    one, other = (
        {str(p.relative_to(folder)) for p in folder.rglob("*") if p.name != "log.txt"}
        for folder in (ours, reference)
    )
    assert one == other


def assert_nothing_half_read(folder: Path, reference: Path) -> None:
    """What has its name is whole, or is known not to be."""
    for path in folder.rglob("*.json"):
        json.loads(path.read_bytes())
    for path in folder.rglob("*.npz"):
        with np.load(path) as arrays:
            assert all(arrays[name].size for name in arrays)
    run = read_record(reference / "record.json").config_hash
    sound = newest_checkpoint(folder / "checkpoints", run=run)
    if sound is not None:
        torch.load(sound, weights_only=True)


def arm(moment: str, number: int) -> None:
    """Has this process kill itself at the ``number``-th moment of its kind."""
    calls: list[str] = []

    def due() -> None:
        calls.append(moment)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    class HalfWriter(io.FileIO):
        """A file that has half of what it is given on disk when the moment is asked for."""

        def write(self, content: Any) -> int:
            half = len(content) // 2
            super().write(content[:half])
            due()
            return half + super().write(content[half:])

    def replace(*paths: Any) -> None:
        if moment == "written":
            due()
        os.replace(*paths)
        if moment == "named":
            due()

    def before(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def method(*arguments: Any, **options: Any) -> Any:
            due()
            return original(*arguments, **options)

        setattr(owner, name, method)

    if moment == "step":
        before(torch.optim.Adam, "step")
    elif moment == "evaluation":
        before(Evaluation, "measure")
    else:
        instead = {"fdopen": HalfWriter} if moment == "half" else {"replace": replace}
        ganstoch.records.os = SimpleNamespace(**(vars(os) | instead))  # type: ignore


# A run has 24 steps, 3 measurements and writes 8 files: every kind of moment, often.
MOMENTS = {
    "step": (1, 2, 7, 12, 13, 24),
    "evaluation": (1, 2, 3),
    **dict.fromkeys(("half", "written", "named"), range(1, 9)),
}


@pytest.mark.parametrize(("kind", "number"), [(k, n) for k, of in MOMENTS.items() for n in of])
def test_killed_at_a_chosen_moment(
    kind: str, number: int, lab: Any, reference: Any, assert_same_run: Make, tally: Make
) -> None:
    lab.run(lab.fit, status=-9, first=lambda: arm(kind, number))
    assert_nothing_half_read(lab.here / "run", reference[0])
    lab.run(lab.fit)
    assert_same_run(lab.here / "run", reference[0])
    assert_same_files(lab.here / "run", reference[0])
    tally("fit killed at a chosen moment, resumed to the same bits")


def run_and_kill(lab: Any, words: list[str], *, rng: random.Random, seconds: float) -> bool:
    """Starts a command and kills it from outside after a random time; whether it had ended."""
    running = lab.start(words)
    time.sleep(rng.uniform(0.2, 0.9) * seconds)
    kill = os.killpg if rng.random() < 0.5 else os.kill  # with its rows, or alone
    with contextlib.suppress(ProcessLookupError):  # it has ended
        kill(running.pid, signal.SIGKILL)
    return bool(running.wait() == 0)


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(
    seed: int, lab: Any, reference: Any, assert_same_run: Make, tally: Make
) -> None:
    folder, seconds = reference
    kills, rng = 0, random.Random(seed)
    for _ in range(8):
        if not run_and_kill(lab, lab.fit, rng=rng, seconds=seconds):
            kills += 1
            assert_nothing_half_read(lab.here / "run", folder)
        elif kills:
            break
        else:  # faster than the undisturbed run was: from the start, and earlier
            shutil.rmtree(lab.here / "run")
            seconds /= 2
    assert kills
    lab.run(lab.fit)
    assert_same_run(lab.here / "run", folder)
    assert_same_files(lab.here / "run", folder)
    tally("fit killed at random, resumed to the same bits", kills)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_asked_to_stop(number: signal.Signals, lab: Any, reference: Any, tally: Make) -> None:
    run = lab.here / "run"
    running = lab.start([*lab.fit, "--checkpoint_every=1000"])
    while not (run / "progress.json").exists():
        time.sleep(0.01)
    os.kill(running.pid, number)
    status = running.wait()
    if not (run / "record.json").exists():
        assert status == 130, running.output
        assert list((run / "checkpoints").glob("*.ckpt"))
    assert not running.lines("Traceback")
    lab.run(lab.fit)
    records = [read_record(folder / "record.json") for folder in (run, reference[0])]
    assert records[0].history == records[1].history
    tally(f"fit stopped by {number.name}, resumed to the same bits", int(status == 130))


@pytest.fixture(scope="module")
def table(make_lab: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A table of five runs that nothing disturbed, and the seconds it took."""
    lab = make_lab(tmp_path_factory.mktemp("table"))
    return lab.here / "out", lab.run(lab.table()).seconds


@pytest.mark.parametrize("seed", range(2))
def test_a_table_killed_again_and_again(
    seed: int, lab: Any, table: tuple[Path, float], assert_same_run: Make, tally: Make
) -> None:
    words, rng, kills = lab.table(), random.Random(seed), 0
    while kills < 4 and not run_and_kill(lab, words, rng=rng, seconds=table[1]):
        kills += 1
    lab.run(words)
    ours, theirs = (
        {path.name: path for path in (out / "runs").iterdir()}
        for out in (lab.here / "out", table[0])
    )
    assert ours.keys() == theirs.keys()
    assert len(ours) == 5
    for row, folder in ours.items():
        assert_same_run(folder, theirs[row])
        assert_same_files(folder, theirs[row])
    assert numbers(lab.here / "out") == numbers(table[0])
    tally("table1 killed at random, resumed to the same bits", kills)


def numbers(out: Path) -> list[dict[str, str]]:
    """A table's rows without times."""
    with (out / "table1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
