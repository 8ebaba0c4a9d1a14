"""Remedies by stochasticity: the tables, the heatmap, and the sentence that is computed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganstoch.errors import UserError
from ganstoch.records import write_record
from ganstoch.report import write_remedies_report
from ganstoch.report.heatmap import draw_heatmap
from ganstoch.report.remedies import (
    COLUMNS,
    remedies_csv,
    remedies_markdown,
    remedies_terminal,
)
from ganstoch.report.remedy_rows import findings, remedy_tables

HELD_OUT = (20.0, 21.0, 22.0, 30.0, 31.0, 32.0)


@pytest.fixture
def make(make_record):
    """A record of n = 256 digits with a mode drop, and an overfitting of half as much."""

    def made(drop, *, remedy="plain", m=256, noise=0.0, seed=0, **rest):
        values = (drop / 2, drop / 2, drop / 2, drop, drop, drop)
        settings = {"dataset": "digits", "baseline": HELD_OUT} | rest
        config = {"remedy": remedy}
        return make_record(values, m=m, noise=noise, seed=seed, config=config, **settings)

    return made


def said(records):
    (table,) = remedy_tables(records)
    return findings(table)


def test_rows_are_remedies_and_columns_settings(make):
    records = [
        make(5.0, remedy="unrolled10", m=1),
        make(4.0, remedy="packing2", noise=0.5),
        make(2.0),
        make(3.0, m=16),
        make(1.5, remedy="unrolled5"),
    ]
    (table,) = remedy_tables(records)
    assert table.remedies == ("plain", "packing2", "unrolled5", "unrolled10")
    assert [column.words for column in table.columns] == ["n", "n/16", "n/256", "n, noise 0.5"]
    assert [column.chance for column in table.columns] == [False, True, True, True]
    lines = remedies_markdown(records, missing=["a_b"]).splitlines()
    start = lines.index("| mode drop | m = n | m = n/16 | m = n/256 | m = n, noise 0.5 |")
    assert lines[start + 2 : start + 7] == [
        "| held-out real | 30.00 | 30.00 | 30.00 | 30.00 |",
        "| plain | 2.00 | 3.00 | - | - |",
        "| packing2 | - | - | - | 4.00 |",
        "| unrolled5 | 1.50 | - | - | - |",
        "| unrolled10 | - | - | 5.00 | - |",
    ]
    assert "| plain | 1.00 | 1.50 | - | - |" in lines
    assert "not run: a\\_b" in lines


def test_cells_are_means_and_deviations_over_seeds(make):
    records = [make(drop, seed=seed) for seed, drop in enumerate((2.0, 4.0))]
    assert "| plain | 3.00 ± 1.41 |" in remedies_markdown(records)
    assert "| held-out real | 30.00 ± 0.00 |" in remedies_markdown(records)
    assert "3.00 ± 1.41" in remedies_terminal(records)


def test_fresh_latents_are_chance_of_their_own(make):
    (table,) = remedy_tables([make(2.0), make(3.0, bank=None)])
    assert [column.words for column in table.columns] == ["n", "n, fresh z"]
    assert table.columns[1].chance


def test_a_change_is_relative_to_plain_in_the_same_column(make):
    records = [make(2.0), make(4.0, m=16), make(3.0, m=16, remedy="packing2")]
    (table,) = remedy_tables([*records, make(3.0, m=1, remedy="packing2")])
    changes = [table.change("packing2", column, "mode_drop") for column in table.columns]
    assert changes == [None, -0.25, None]
    assert table.change("plain", table.columns[0], "mode_drop") is None


def test_both_verdicts_name_remedies_and_columns(make):
    records = [
        *(make(2.0), make(6.0, m=16), make(9.0, m=1)),
        *(make(4.0, m=16, remedy="packing2"), make(8.0, m=1, remedy="packing2")),
        *(make(1.0, m=16, remedy="replay"), make(9.5, m=1, remedy="replay")),
        *(make(1.9, remedy="unrolled5"), make(7.0, m=16, remedy="unrolled5")),
        make(3.0, noise=0.5, remedy="ema"),  # plain was not run with noise
    ]
    assert said(records) == (
        "With chance left in, mode drop is below plain's in the same column for packing2 (n/16; "
        "n/256) and replay (n/16); not for unrolled5. Beyond what removing chance does (plain at "
        "m = n: 2.00), it is lower for replay (n/16) and unrolled5 (n); not for ema and packing2. "
        "One seed a row: the spread is unknown, and any gap counts."
    )


def test_with_several_seeds_a_gap_must_exceed_both_deviations(make):
    def seeds(drops, **rest):
        return [make(drop, seed=seed, **rest) for seed, drop in enumerate(drops)]

    plain = [*seeds((2.0, 2.2)), *seeds((5.0, 7.0), m=16)]  # deviation 1.41 at n/16
    near = seeds((4.7, 4.7), m=16, remedy="near")  # 1.3 below
    far = seeds((4.5, 4.5), m=16, remedy="far")  # 1.5 below
    loose = seeds((2.5, 6.5), m=16, remedy="loose")  # 1.5 below, deviation 2.83
    text = said([*plain, *near, *far, *loose])
    assert "in the same column for far (n/16); not for loose and near." in text
    assert text.endswith("larger than the standard deviation over seeds of either side.")
    single = make(4.5, m=16, remedy="single")
    assert said([*plain, *far, single]).endswith("one seed its spread is unknown.")


def test_no_remedy_below_plain_is_said(make):
    text = said([make(2.0), make(3.0, m=16), make(3.0, m=16, remedy="packing2")])
    assert "in the same column for no remedy. Beyond" in text
    assert "it is lower for no remedy." in text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("packing2", 256)], "There is no plain row"),
        ([("plain", 256)], "No remedy stands beside plain."),
        ([("plain", 256), ("packing2", 256)], "No remedy was run with chance left in"),
        ([("plain", 16), ("packing2", 16)], "is unknown: plain was not run at m = n"),
        ([("plain", 16), ("packing2", 1)], "No remedy was run with chance left in"),
    ],
)
def test_what_was_not_run_is_not_claimed(rows, words, make):
    text = said([make(2.0, remedy=remedy, m=m) for remedy, m in rows])
    assert words in text
    assert " for packing2" not in text


def test_the_terminal_keeps_to_a_hundred_columns(make):
    sizes = (256, 128, 64, 32, 16, 4, 1)
    records = [
        make(100.0 + seed, m=m, remedy=remedy, seed=seed, noise=noise)
        for m in sizes
        for remedy in ("plain", "a_remedy_with_a_rather_long_name")
        for seed in (0, 1)
        for noise in (0.0, 0.25)
    ]
    text = remedies_terminal(records, missing=["x" * 150])
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("mode drop, m =") == 3
    for m in sizes[1:]:
        assert f"n/{256 // m}, noise 0.25" in text


def test_csv_has_a_line_per_cell(make):
    records = [make(4.0, seconds=30.0), make(3.0, remedy="=1", seconds=90.0), make(5.0, m=16)]
    found = list(csv.DictReader(io.StringIO(remedies_csv(records))))
    assert tuple(found[0]) == COLUMNS
    assert [row["remedy"] for row in found] == ["held-out real", "plain", "plain", "'=1"]
    assert [row["mode_drop_mean"] for row in found] == ["30", "4", "5", "3"]
    assert [row["mode_drop_change"] for row in found] == ["", "", "", "-0.25"]
    assert [row["m"] for row in found] == ["", "256", "16", "256"]


def test_records_that_make_no_table_are_refused(make):
    with pytest.raises(UserError, match="no finished runs"):
        remedy_tables([])
    with pytest.raises(UserError, match="given twice"):
        remedy_tables([make(2.0), make(2.0)])
    with pytest.raises(UserError, match="several presets: other, tiny"):
        remedy_tables([make(2.0), make(2.0, remedy="x", preset="other")])
    with pytest.raises(UserError, match="several subset sizes n"):
        remedy_tables([make(2.0), make(2.0, remedy="x", n=64)])


def pixels(records):
    picture = draw_heatmap(remedy_tables(records))
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def test_the_heatmap_is_blue_below_plain_and_red_above(make):
    def share(drop, *, blue):
        found = pixels([make(4.0), make(drop, remedy="packing2")])
        red, _, other = found[:, : found.shape[1] // 2].transpose(2, 0, 1)  # not the colour bar
        return float((((other - red) if blue else (red - other)) > 60).mean())

    assert share(2.0, blue=True) > 0.05 > 0.001 > share(2.0, blue=False)
    assert share(6.0, blue=False) > 0.05 > 0.001 > share(6.0, blue=True)


def test_the_heatmap_grows_with_remedies_columns_and_datasets(make):
    small = pixels([make(4.0), make(3.0, m=16)])
    rows = pixels([make(4.0), make(3.0, m=16), make(2.0, remedy="ema")])
    more = pixels([make(4.0), make(3.0, m=16), make(3.0, m=1), make(2.0, noise=0.5)])
    both = pixels([make(4.0), make(3.0, m=16), make(3.0, dataset="svhn")])
    assert rows.shape[0] > small.shape[0]
    assert rows.shape[1] == small.shape[1]
    assert more.shape[1] > small.shape[1]
    assert both.shape[0] > 1.5 * small.shape[0]


def written(folder: Path, record) -> Path:
    write_record(folder / record.config_hash / "record.json", record)
    return folder / record.config_hash


def test_a_report_is_four_files_the_same_every_time(make, tmp_path):
    runs = [written(tmp_path / f"runs{i}", make(2.0 + i, m=m)) for i, m in enumerate((256, 16))]
    text = write_remedies_report(tmp_path / "a", [*runs, tmp_path / "gone"], missing=["late"])
    write_remedies_report(tmp_path / "b", runs, missing=["late", "gone"])
    names = sorted(path.name for path in (tmp_path / "a").iterdir() if path.is_file())
    assert names == ["index.html", "remedies.csv", "remedies.md", "remedies.png"]
    assert text.startswith("Remedies by stochasticity\n")
    assert "not run: late, gone" in text
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_report_of_nothing_writes_nothing(tmp_path):
    with pytest.raises(UserError, match="no finished runs"):
        write_remedies_report(tmp_path / "out", [tmp_path / "gone"])
    assert not (tmp_path / "out").exists()
