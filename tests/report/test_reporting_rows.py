"""Records to rows: grouping, order, spreads by hand, refusals; the paper's own rows."""

from __future__ import annotations

import math

import pytest

from ganstoch.errors import UserError
from ganstoch.report.paper import TABLE1, lookup
from ganstoch.report.rows import blocks
from ganstoch.report.table1 import markdown


def test_the_paper_has_fifteen_rows_as_published():
    assert len(TABLE1) == 15
    assert {row.m for row in TABLE1} == {3200, 800, 200, 50}
    row = lookup("ffhq", n_over_m=4, noise=0.5)
    assert row is not None
    assert row.m == 3200
    assert row.scores.values() == [35.56, 45.83, 47.53, 33.9, 44.51, 46.04]
    # Means of ever fewer, ever worse queries can only rise: a check on the transcription.
    for row in TABLE1:
        values = row.scores.values()
        assert values[:3] == sorted(values[:3])
        assert values[3:] == sorted(values[3:])


@pytest.mark.parametrize(
    ("dataset", "n_over_m", "noise", "m"),
    [
        ("svhn", 4, 0.0, 3200),
        ("svhn", 1000 / 62, 0.0, 800),  # m rounded down from 62.5
        ("svhn", 4, 0.25, None),
        ("svhn", 8, 0.0, None),
        ("svhn", 16, 0.5, None),
        ("digits", 4, 0.0, None),
    ],
)
def test_lookup_finds_the_row_of_the_same_share_and_noise(dataset, n_over_m, noise, m):
    row = lookup(dataset, n_over_m=n_over_m, noise=noise)
    assert (row.m if row else None) == m


def test_rows_run_from_the_largest_batch_down_and_end_with_noise(make_record):
    records = [
        make_record(m=m, noise=noise, bank=bank)
        for noise in (0.5, 0.0)
        for m in (4, 64, 16)
        for bank in (None, 512, 256)
    ]
    (block,) = blocks(records)
    assert [(row.noise, row.m, row.bank) for row in block.rows] == [
        (noise, m, bank) for noise in (0.0, 0.5) for m in (64, 16, 4) for bank in (256, 512, None)
    ]
    assert block.twin(block.rows[0]) is None
    assert block.twin(block.rows[-1]) == block.rows[8]  # fresh latents have a fresh twin


def test_mean_and_spread_over_seeds_by_hand(make_record):
    records = [make_record([v] * 6, seed=seed) for seed, v in ((2, 6.0), (0, 1.0), (1, 2.0))]
    (block,) = blocks(records)
    (row,) = block.rows
    assert row.seeds == (0, 1, 2)
    assert row.mean.values() == [3.0] * 6
    # Deviations -2, -1, 3: squares 4 + 1 + 9 = 14, over 3 - 1 = 2.
    assert row.spread.values() == pytest.approx([math.sqrt(7.0)] * 6)


def test_one_seed_has_no_spread(make_record):
    (block,) = blocks([make_record()])
    assert block.rows[0].spread is None
    assert block.baseline is None


def test_baseline_counts_a_seed_once_however_many_rows_it_has(make_record):
    records = [
        make_record(m=64, baseline=[1.0] * 6),
        make_record(m=16, baseline=[1.0] * 6),
        make_record(m=64, seed=1, baseline=[4.0] * 6),
        make_record(m=4, seed=1),
    ]
    baseline = blocks(records)[0].baseline
    assert baseline.mean.values() == [2.5] * 6
    assert baseline.spread.values() == pytest.approx([3.0 / math.sqrt(2.0)] * 6)


def test_datasets_keep_the_order_they_come_in(make_record):
    records = [make_record(dataset=name) for name in ("svhn", "cifar10", "ffhq", "a")]
    assert [block.dataset for block in blocks(records)] == ["svhn", "cifar10", "ffhq", "a"]


def test_only_the_papers_bank_has_a_counterpart_in_the_paper(make_record):
    (block,) = blocks([make_record(bank=256), make_record(bank=512), make_record(bank=None)])
    assert [row.paper is not None for row in block.rows] == [True, False, False]


def test_what_makes_no_table_is_refused_with_the_fix(make_record):
    one = make_record()
    incomplete = make_record(m=4)
    del incomplete.metrics["mode_drop/pixel_l1/worst5"]
    for records, message in (
        ([], "no finished runs.*run the sweep"),
        ([one, make_record(m=4, preset="paper")], "several presets: paper, tiny.*folder"),
        ([one, make_record(m=4, n=1024)], "several subset sizes n: 256, 1,024"),
        ([one, one], "m = 64, seed 0 was given twice"),
        ([one, incomplete], "seed 0 has no mode_drop/pixel_l1/worst5"),
    ):
        with pytest.raises(UserError, match=message):
            markdown(records)


def test_different_datasets_may_have_different_presets_and_sizes(make_record):
    records = [make_record(), make_record(dataset="digits", preset="other", n=64, m=16)]
    assert [(block.preset, block.n) for block in blocks(records)] == [("tiny", 256), ("other", 64)]
