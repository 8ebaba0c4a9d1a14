"""A record reruns from itself alone, and what differs is told, and where first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ganstoch.records import Measurement, Record, read_record, read_records, write_record
from ganstoch.runs.diff import circumstances, compare
from ganstoch.runs.fit import fit as run_fit
from ganstoch.runs.settings import resolve_all
from ganstoch.runs.verify import settings_of

Command = Callable[..., Any]

RESULTS = Path(__file__).parents[2] / "results"


def record(*values: float, digests: str = "", **changes: Any) -> Record:
    """A run with a measurement of ``a`` every 10 iterations."""
    history = tuple(
        Measurement(
            iteration=10 * i,
            images_seen=i,
            metrics={"a": value, "b": 1.0},
            digests={"average": digests[i - 1]} if digests else {},
        )
        for i, value in enumerate(values, start=1)
    )
    whole = Record(
        **dict.fromkeys(("config_hash", "preset", "dataset", "subset_sha256", "hardware"), "x"),
        **dict.fromkeys(("seed", "n", "m", "images_seen"), 1),
        config={},
        bank=1,
        noise=0.0,
        iterations=10 * len(values),
        converged=False,
        seconds=1.0,
        versions={},
        metrics=history[-1].metrics,
        baseline={"a": 3.0},
        history=history,
    )
    return whole.model_copy(update=changes)


def test_a_record_is_bit_identical_to_itself_whatever_time_it_took() -> None:
    one = record(1.0, 2.0, digests="ab")
    found = compare(one, one.model_copy(update={"seconds": 9.0}), tolerance=0.0)
    assert (found.sameness, found.gap, found.first) == ("bit-identical", 0, None)
    assert found.compared == 1 + 2 * 3
    # Numbers alone, such as counts, do not say that weights are the same.
    bare = compare(record(1.0, 2.0), record(1.0, 2.0), tolerance=0.0)
    assert (bare.sameness, bare.gap, bare.first) == ("equal", 0, None)


def test_the_last_bit_counts_and_is_placed() -> None:
    found = compare(record(1.0, 0.3, 4.0), record(1.0, 0.1 + 0.2, 5.0), tolerance=0.5)
    assert (found.sameness, found.first, found.parts) == ("equal", 20, ("a",))
    assert found.gap == 0.2
    assert found.beyond is None


def test_beyond_the_tolerance_is_different() -> None:
    found = compare(record(1.0, 2.0, 4.0), record(1.0, 2.1, 5.0), tolerance=0.1)
    assert (found.sameness, found.first) == ("different", 20)
    assert found.beyond == (30, "a", 4.0, 5.0)
    at_the_edge = compare(record(4.0), record(5.0), tolerance=0.2)
    assert at_the_edge.sameness == "equal"


def test_weights_that_differ_under_equal_metrics_are_seen() -> None:
    found = compare(record(1.0, 2.0, digests="ab"), record(1.0, 2.0, digests="ac"), tolerance=0.0)
    assert (found.sameness, found.first, found.parts) == ("equal", 20, ("average",))


def test_what_only_one_has_is_a_difference_except_digests() -> None:
    longer = compare(record(1.0), record(1.0, 2.0), tolerance=1.0)
    assert (longer.sameness, longer.first) == ("different", 20)
    old = compare(record(1.0), record(1.0, digests="a"), tolerance=0.0)
    assert (old.sameness, old.first) == ("equal", None)
    other_start = compare(record(1.0), record(1.0, baseline={"a": 4.0}), tolerance=0.1)
    assert (other_start.first, other_start.beyond) == (0, (0, "a", 3.0, 4.0))


def test_circumstances_are_named() -> None:
    one = record(1.0, versions={"torch": "2.14.1", "numpy": "2"}, threads=1)
    other = record(1.0, versions={"torch": "3", "numpy": "2"}, threads=2)
    assert circumstances(one, one) == []
    assert circumstances(one, other) == ["threads 1, now 2", "torch 2.14.1, now 3"]


def test_every_committed_record_says_all_that_makes_it(tmp_path: Path) -> None:
    """Its settings alone lead to the digest of settings that it was made under."""
    paths = sorted(RESULTS.glob("*/records.jsonl.gz"))
    records = [each for path in paths for each in read_records(path)]
    assert len(records) > 100
    lines = []
    for i, each in enumerate(records):
        file = tmp_path / f"{i}.yaml"
        file.write_text(json.dumps(settings_of(each)))
        lines.append([f"--config={file}"])
    for each, resolved in zip(records, resolve_all(lines), strict=True):
        if each.config["iterations_of"] is None:
            assert resolved.config_hash == each.config_hash
        assert resolved.config["trainer"]["max_steps"] >= each.iterations
        assert resolved.config["model"]["seed"] == resolved.config["data"]["seed"] == each.seed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...]) -> Path:
    """The record of a run; do not touch."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return run_fit([*tiny, "--quiet=true", f"--out={out}"]) / "record.json"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Threads of the runs that are started, all of them in this process."""
    threads_of: list[int | None] = []

    def start(words: list[str], *, threads: int | None) -> int:
        threads_of.append(threads)
        run_fit([*words, "--quiet=true"])
        return 0

    monkeypatch.setattr("ganstoch.runs.verify._fit", start)
    return threads_of


def test_verify_is_bit_identical(
    here: Path, finished: Path, started: list[int | None], ganstoch: Command
) -> None:
    answer = ganstoch("verify", finished.parent)
    assert answer.status == 0, answer
    assert answer.out.startswith("bit-identical: 28 ")
    assert started == [read_record(finished).threads]
    again = read_record(here / "verified" / "run" / "record.json")
    assert again.history == read_record(finished).history
    # What was made before, perhaps by another version, says nothing of this one.
    assert "verified/run" in ganstoch("verify", finished).complaint


def altered(record: Path, to: Path, change: Callable[[Record], Record]) -> Path:
    write_record(to / "record.json", change(read_record(record)))
    return to / "record.json"


@pytest.mark.usefixtures("started")
def test_verify_that_differs_says_where(here: Path, finished: Path, ganstoch: Command) -> None:
    def change(record: Record) -> Record:
        last = record.history[-1]
        metrics = last.metrics | {"overfitting/pixel_l1/mean": 1.0}
        history = (*record.history[:-1], last.model_copy(update={"metrics": metrics}))
        return record.model_copy(
            update={"history": history, "versions": {"torch": "1.0"}, "threads": None}
        )

    answer = ganstoch("verify", altered(finished, here / "old", change), "--out=again")
    assert answer.status == 1
    lines = answer.out.splitlines()
    assert lines[0] == "different"
    assert all("iteration 4: overfitting/pixel_l1/mean" in line for line in lines[1:3])
    assert any("torch 1.0, now 2." in line for line in lines)


def test_a_noisy_row_needs_no_twin(
    here: Path, finished: Path, started: list[int | None], ganstoch: Command
) -> None:
    def change(record: Record) -> Record:
        record = record.model_copy(update={"threads": None, "hardware": "4 x X, 3 thread(s)"})
        config = record.config | {"iterations_of": "nowhere/twin", "out": "/nowhere/run"}
        config["trainer"]["max_steps"] = 10_000
        return record.model_copy(update={"config": config})

    answer = ganstoch("verify", altered(finished, here / "old", change), "--out=again")
    assert answer.status == 0, answer
    assert read_record(here / "again" / "record.json").iterations == 4
    assert started == [3]  # as older records say it


def test_what_cannot_be_verified(here: Path, finished: Path, ganstoch: Command) -> None:
    assert "nothing" in ganstoch("verify", "nothing").complaint
    assert "--tolerance" in ganstoch("verify", finished, "--tolerance=-1").complaint
    shutil.copytree(finished.parent, here / "run")
    assert "--out" in ganstoch("verify", "run", "--out=run").complaint
    config = read_record(finished).config
    for name, settings in {
        "a/step=2.ckpt": config | {"ckpt_path": "a/step=2.ckpt"},
        "'model'": {"data": {}},
    }.items():
        changed = partial(Record.model_copy, update={"config": settings})
        assert name in ganstoch("verify", altered(finished, here / "old", changed)).complaint
    assert not (here / "verified").exists()
