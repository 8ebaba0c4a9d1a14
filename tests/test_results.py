"""The committed results: the tables are what today's code makes of the committed records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganstoch.records import read_records
from ganstoch.report import tables
from ganstoch.report.frame import frame

RESULTS = Path(__file__).parents[1] / "results"
FILES = sorted(RESULTS.glob("*/records.jsonl.gz"))
TABLES = {
    "table1.csv": tables.table1_csv,
    "remedies.csv": tables.remedies_csv,
    "synthetic.csv": tables.synthetic_csv,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_table_follows_from_its_records(path: Path) -> None:
    (name,) = {each.name for each in path.parent.glob("*.csv")}
    assert tables.csv(TABLES[name](frame(read_records(path)))) == (path.parent / name).read_text()


def test_every_kind_of_table_is_there_and_all_are_small() -> None:
    assert {each.name for path in FILES for each in path.parent.glob("*.csv")} == set(TABLES)
    size = sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file())
    assert size <= 4 * 2**20


def test_the_effect_is_there() -> None:
    """At equal iterations both means fall with m for every seed, and noise makes both worse."""
    runs = frame(read_records(RESULTS / "table1-mini" / "records.jsonl.gz"))
    assert len(runs) == 15
    for name in tables.DIRECTIONS.values():
        by_setting = runs.set_index(["seed", "m", "noise"])[name]
        for seed in (0, 1, 2):
            by_m = [by_setting[seed, m, 0.0] for m in (64, 16, 4, 1)]
            assert by_m == sorted(by_m)
            assert by_setting[seed, 64, 0.5] > by_setting[seed, 64, 0.0]


def test_all_that_the_trust_tests_counted_was_kept() -> None:
    counts = json.loads((RESULTS / "trust" / "trust.json").read_bytes())
    assert all(count["tried"] == count["kept"] > 0 for count in counts.values())


def test_the_bench_was_run_whole() -> None:
    assert json.loads((RESULTS / "bench" / "bench.json").read_text())["quick"] is False
