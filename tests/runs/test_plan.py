from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ganstoch.data import StackedFashion
from ganstoch.errors import UserError
from ganstoch.records import Record, read_record, write_record
from ganstoch.runs.plan import plan
from ganstoch.runs.pool import Row
from ganstoch.runs.sweep import Scalar, Sweep

SWEEP = Sweep(
    name="s",
    preset="mini",
    parameters={"config": ["n4", "n256", "n4-noise"], "seed_everything": [0]},
)


def with_values(**values: Sequence[Scalar]) -> Sweep:
    sweep = SWEEP
    for key, entries in values.items():
        sweep = sweep.with_values(key.replace("__", "."), entries)
    return sweep


def labels(jobs: Sequence[Row]) -> list[str]:
    return [job.label for job in jobs]


def test_every_row_is_a_job(here: Path) -> None:
    jobs = plan(SWEEP, out=here, root=here / "d", settings=["trainer.max_steps=10"])
    assert labels(jobs) == [
        *("digits-n256-m64-seed0", "digits-n256-m1-seed0", "digits-n256-m64-noise0.5-seed0")
    ]
    assert not any(job.finished or job.failure for job in jobs)
    assert all(job.folder.parent == here / "runs" for job in jobs)
    assert all(job.folder.name.startswith(job.label) for job in jobs)
    assert len({job.folder for job in jobs}) == 3
    words = jobs[0].arguments
    assert words[:2] == ["--config", "mini"]
    assert {"--wandb.group=s-mini", "--trainer.max_steps=10", f"--data.root={here / 'd'}"} <= set(
        words
    )
    assert list(here.iterdir()) == []


def test_work_grows_with_iterations_and_images(here: Path) -> None:
    def work(steps: int) -> list[float]:
        return [job.work for job in plan(SWEEP, out=here, settings=[f"trainer.max_steps={steps}"])]

    big, small, noisy = work(10)
    assert big == noisy > small
    assert work(100) == [10 * big, 10 * small, 10 * noisy]


def test_seeds_and_data_sets_multiply(here: Path) -> None:
    sweep = with_values(data__source=["Digits", "CIFAR10"], seed_everything=[0, 7])
    rows = plan(sweep, out=here, root=here / "nowhere")
    jobs = [row for row in rows if not row.failure]
    assert len(rows) == 12
    assert len(jobs) == 6
    assert {job.label.rpartition("-")[2] for job in jobs} == {"seed0", "seed7"}
    assert all(row.label.startswith("cifar10-n256-m") == bool(row.failure) for row in rows)


def test_a_noisy_row_takes_its_twin_s_iterations_where_that_may_stop(here: Path) -> None:
    sweep = with_values(seed_everything=[0, 1])
    jobs = plan(sweep, out=here, settings=["stop_rule.stop=true"])
    clean = {job.label: job for job in jobs if "noise" not in job.label}
    noisy = [job for job in jobs if "noise" in job.label]
    assert len(noisy) == 2
    for job in noisy:
        twin = clean[job.label.replace("-noise0.5", "")]
        assert job.after == twin.folder
        assert job.arguments[-1] == f"--iterations_of={twin.folder}"
    assert all(job.after is None for job in clean.values())
    assert not any("iterations_of" in word for job in clean.values() for word in job.arguments)


def test_a_noisy_row_needs_no_twin_at_equal_iterations_or_where_there_is_none(here: Path) -> None:
    jobs = plan(SWEEP, out=here, settings=["stop_rule.stop=false"])
    jobs += plan(with_values(config=["n4-noise"]), out=here, settings=["stop_rule.stop=true"])
    assert [job.after for job in jobs] == [None] * 4
    assert not any("iterations_of" in word for job in jobs for word in job.arguments)


@pytest.fixture
def record(finished_table: tuple[Path, list[str]]) -> Record:
    return read_record(next(finished_table[0].glob("runs/*/record.json")))


def test_finished_rows_are_known_by_their_hash(here: Path, record: Record) -> None:
    first, *_ = plan(SWEEP, out=here)
    # A folder is named after the first eight digits of its hash; another hash is another run.
    write_record(first.folder / "record.json", record)
    assert not any(row.finished for row in plan(SWEEP, out=here))
    ours = record.model_copy(update={"config_hash": first.config_hash})
    write_record(first.folder / "record.json", ours)
    assert [row.finished for row in plan(SWEEP, out=here)] == [True, False, False]
    other = plan(SWEEP, out=here, settings=["model.optimizer.lr=0.1"])
    assert not any(row.finished for row in other)


def test_a_record_of_another_schema_is_named(here: Path, record: Record) -> None:
    (row, *_) = plan(SWEEP, out=here)
    path = row.folder / "record.json"
    write_record(path, record)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "schema": 99}))
    with pytest.raises(UserError, match=r"record\.json"):
        plan(SWEEP, out=here)


def test_remedies_are_rows_of_their_own(here: Path) -> None:
    sweep = with_values(config=["n4"], remedy=["plain", "hinge", "packing2+r1"])
    jobs = plan(sweep, out=here)
    assert labels(jobs) == [
        *("digits-n256-m64-seed0", "digits-n256-m64-hinge-seed0"),
        "digits-n256-m64-packing2+r1-seed0",
    ]
    assert [word for word in jobs[2].arguments if "remedy" in word] == ["--remedy=packing2+r1"]


def test_a_world_needs_its_judge(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts modes is missed before training, not at its first measurement."""
    monkeypatch.setattr(StackedFashion, "open", lambda *_: range(5))  # the images are there
    sweep = Sweep(name="s", preset="stacked_fashion", parameters={"seed_everything": [0]})
    (row,) = plan(sweep, out=here / "out", root=here, settings=["data.n=5", "data.m=1"])
    assert row.failure is not None
    assert "prepare stacked_fashion" in row.failure
