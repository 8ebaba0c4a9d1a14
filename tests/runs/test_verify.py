"""A record reruns from itself alone, and what differs is told, and where first."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ganstoch.records import Measurement, read_record, read_records, write_record
from ganstoch.runs.fit import fit as run_fit
from ganstoch.runs.settings import resolve_all
from ganstoch.runs.verify import Difference, circumstances, compare, settings_of

Command = Callable[..., Any]


def test_a_record_runs_no_command_and_writes_to_no_logger(make_record: Command) -> None:
    resolved = resolve_all([["--config", "mini", "--diagnosis.act=alert", "--trainer.logger=true"]])
    config = json.loads(json.dumps(resolved[0].config))
    config["diagnosis"]["command"] = ["touch", "a"]
    settings = settings_of(make_record(config=config, n=64, m=16))
    assert "command" not in settings["diagnosis"]
    assert "logger" not in settings["trainer"]


RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def record(make_record: Command) -> Command:
    """Makes a run with a measurement of ``a`` every 10 iterations."""

    def record(*values: float, digests: str = "", **changes: Any) -> Any:
        history = tuple(
            Measurement(
                iteration=10 * i,
                images_seen=i,
                metrics={"a": value, "b": 1.0},
                digests={"average": digests[i - 1]} if digests else {},
            )
            for i, value in enumerate(values, start=1)
        )
        return make_record(**{"baseline": {"a": 3.0}, "history": history, **changes})

    return record


@pytest.mark.parametrize(
    ("earlier", "later", "tolerance", "sameness", "first", "beyond"),
    [
        (((1.0, 2.0), "ab"), ((1.0, 2.0), "ab"), 0.0, "bit-identical", None, None),
        # Numbers alone, such as counts, do not say that weights are the same.
        (((1.0, 2.0), ""), ((1.0, 2.0), ""), 0.0, "equal", None, None),
        (((1.0, 2.0), "ab"), ((1.0, 2.0), "ac"), 0.0, "equal", (20, "average"), None),
        (((1.0, 0.3), ""), ((1.0, 0.1 + 0.2), ""), 1e-15, "equal", (20, "a"), None),
        (((1.0, 2.0, 4.0), ""), ((1.0, 2.1, 5.0), ""), 0.1, "different", (20, "a"), (30, "a")),
        (((4.0,), ""), ((5.0,), ""), 0.2, "equal", (10, "a"), None),
        # What only one has is a difference, except digests.
        (((1.0,), ""), ((1.0, 2.0), ""), 1.0, "different", (20, "a"), (20, "a")),
        (((1.0,), ""), ((1.0,), "a"), 0.0, "equal", None, None),
    ],
)
def test_comparison(
    earlier: Any, later: Any, tolerance: float, sameness: str, first: Any, beyond: Any, record: Any
) -> None:
    one, other = (record(*values, digests=digests) for values, digests in (earlier, later))
    other = other.model_copy(update={"seconds": 9.0})
    comparison = compare(one, other, tolerance=tolerance)
    places = [(each.iteration, each.name) for each in comparison.differences]
    assert comparison.sameness == sameness
    assert (places[0] if places else None) == first
    difference = comparison.beyond
    assert (difference and (difference.iteration, difference.name)) == beyond
    assert len(comparison.lines()) >= 1


def test_a_baseline_is_compared_and_counted(record: Command) -> None:
    one, other = record(1.0, 2.0, digests="ab"), record(1.0, 2.0, digests="ab", baseline={"a": 4.0})
    assert compare(one, one, tolerance=0.0).compared == 1 + 2 * 3
    assert compare(one, other, tolerance=0.1).beyond == Difference(0, "a", 3.0, 4.0)


def test_circumstances_are_named(record: Command) -> None:
    one = record(1.0, versions={"torch": "2.14.1", "numpy": "2"}, threads=1)
    other = record(1.0, versions={"torch": "3", "numpy": "2"}, threads=2)
    assert circumstances(one, one) == []
    assert circumstances(one, other) == ["threads 1, now 2", "torch 2.14.1, now 3"]


def test_every_committed_record_says_all_that_makes_it(tmp_path: Path) -> None:
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


@pytest.fixture
def finished(reference: Path) -> Path:
    """The record of a run; do not touch."""
    return reference / "record.json"


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
    here: Path, finished: Path, started: Any, ganstoch: Command
) -> None:
    answer = ganstoch("verify", finished.parent)
    assert answer.status == 0, answer
    assert answer.out.startswith("bit-identical: 28 ")
    assert started == [read_record(finished).threads]
    again = read_record(here / "verified" / "run" / "record.json")
    assert again.history == read_record(finished).history
    # What was made before, perhaps by another version, says nothing of this one.
    assert "verified/run" in ganstoch("verify", finished).complaint


def altered(record: Path, to: Path, **changes: Any) -> Path:
    write_record(to / "record.json", read_record(record).model_copy(update=changes))
    return to / "record.json"


@pytest.mark.usefixtures("started")
def test_verify_that_differs_says_where(here: Path, finished: Path, ganstoch: Command) -> None:
    *earlier, last = read_record(finished).history
    metrics = last.metrics | {"overfitting/pixel_l1/mean": 1.0}
    history = (*earlier, last.model_copy(update={"metrics": metrics}))
    old = altered(finished, here, history=history, versions={"torch": "1.0"}, threads=None)
    answer = ganstoch("verify", old, "--out=again")
    assert answer.status == 1
    lines = answer.out.splitlines()
    assert lines[0] == "different"
    assert all("iteration 4: overfitting/pixel_l1/mean" in line for line in lines[1:3])
    assert any("torch 1.0, now 2." in line for line in lines)


def test_a_noisy_row_needs_no_twin(
    here: Path, finished: Path, started: Any, ganstoch: Command
) -> None:
    config = read_record(finished).config
    config |= {"iterations_of": "nowhere/twin", "out": "/nowhere/run"}
    config["trainer"]["max_steps"] = 10_000
    hardware = "4 x X, 3 thread(s)"  # as older records say it
    old = altered(finished, here, config=config, threads=None, hardware=hardware)
    answer = ganstoch("verify", old, "--out=again")
    assert answer.status == 0, answer
    assert read_record(here / "again" / "record.json").iterations == 4
    assert started == [3]


def test_what_cannot_be_verified(here: Path, finished: Path, ganstoch: Command) -> None:
    verify = partial(ganstoch, "verify")
    assert "nothing" in verify("nothing").complaint
    assert "tolerance" in verify(finished, "--tolerance=-1").complaint
    shutil.copytree(finished.parent, here / "run")
    assert "--out" in verify("run", "--out=run").complaint
    config = read_record(finished).config
    continued = altered(finished, here, config=config | {"ckpt_path": "a/step=2.ckpt"})
    assert "a/step=2.ckpt" in verify(continued).complaint
    assert "'model'" in verify(altered(finished, here, config={"data": {}})).complaint
    assert not (here / "verified").exists()
