"""Worlds with known modes: rows, gaps to published values, and the tables in three formats."""

from __future__ import annotations

import csv
import io
import math

import pytest

from ganstoch.errors import UserError
from ganstoch.report.published import protocol_of
from ganstoch.report.quantities import GOOD, KL, MODES, Estimate, gap
from ganstoch.report.world_rows import worlds
from ganstoch.report.world_words import caption, compared
from ganstoch.report.worlds import COLUMNS, world_csv, world_markdown, world_terminal

PERFECT = {
    "modes/of": 8.0,
    "modes/count": 8.0,
    "modes/good_share": 0.9889,
    "modes/reverse_kl": 0.0014,
}


@pytest.fixture
def make(make_record):
    """A record of the ring with the given modes, share of good samples and reverse KL."""

    def made(
        modes=6.0,
        good=0.982,
        kl=0.45,
        *,
        remedy="plain",
        dataset="ring",
        of=8.0,
        extra=None,
        config=None,
        **rest,
    ):
        metrics = {"modes/count": modes, "modes/of": of, **(extra or {})}
        for key, value in (("modes/good_share", good), ("modes/reverse_kl", kl)):
            if value is not None:
                metrics[key] = value
        settings = {"m": 100, "n": 100_000, "bank": None, "iterations": 40_000} | rest
        record = make_record(
            dataset=dataset, config={"remedy": remedy, **(config or {})}, **settings
        )
        return record.model_copy(update={"metrics": metrics, "baseline": PERFECT})

    return made


def stacked(remedy="plain", *, protocol="unrolled", width=8, kind="Unrolled"):
    return {
        "remedy": remedy,
        "data": {"source": {"init_args": {"protocol": protocol}}},
        "model": {
            "objective": {"class_path": "ganstoch.objectives.NonSaturating"},
            "generator": {"class_path": f"a.{kind}Generator", "init_args": {"width": 64}},
            "discriminator": {
                "class_path": f"a.{kind}Discriminator",
                "init_args": {"width": width},
            },
        },
    }


def test_a_row_is_a_mean_with_its_standard_error(make):
    (world,) = worlds([make(modes, seed=seed) for seed, modes in enumerate((5.0, 6.0, 7.0))])
    (row,) = world.rows
    found = row.estimate(MODES)
    assert (found.mean, found.trials) == (6.0, 3)
    assert found.error == pytest.approx(1.0 / math.sqrt(3))
    assert row.estimate(GOOD).mean == pytest.approx(98.2)
    assert row.estimate(GOOD).error == 0.0
    assert world.perfect(GOOD) == Estimate(pytest.approx(98.89))


def test_one_seed_has_no_error(make):
    (world,) = worlds([make()])
    assert world.rows[0].estimate(MODES).error is None
    assert "One seed a row" in caption([world])


def test_plain_comes_first_then_the_alphabet_with_numbers_as_numbers(make):
    labels = ["unrolled10", "packing2", "plain", "unrolled5", "ema"]
    (world,) = worlds([make(remedy=label) for label in labels])
    found = [row.label for row in world.rows]
    assert found == ["plain", "ema", "packing2", "unrolled5", "unrolled10"]


def test_settings_are_named_where_there_are_several(make):
    (world,) = worlds([make(), make(m=50), make(noise=0.5)])
    assert [row.label for row in world.rows] == [
        *("plain, m = 100", "plain, m = 50", "plain, m = 100, noise 0.5"),
    ]
    assert world.rows[0].published is not None
    assert world.rows[2].published is None  # nobody published noise
    assert "m = 50 (published 100)" in world.rows[1].note


def test_a_gap_is_in_standard_errors_of_the_difference():
    found = gap(Estimate(6.0, 0.3), Estimate(6.5, 0.4))
    assert found.by == pytest.approx(-0.5)
    assert found.errors == pytest.approx(0.5 / 0.5)
    assert gap(Estimate(6.0), Estimate(6.5, 0.25)).errors == pytest.approx(2.0)
    assert gap(Estimate(1000.0, 0.0), Estimate(999.0, 0.0)).errors is None
    assert gap(Estimate(6.0), Estimate(5.0)).errors is None


def test_missed_and_beaten_go_by_the_direction_of_the_column(make):
    (world,) = worlds([make(6.0, 0.992, 0.50), make(6.0, 0.992, 0.50, seed=1)])
    text = compared(world, world.rows[0])
    # PacGAN Table 1, ring, GAN: 6.3 +- 0.5, 98.2 +- 0.2, 0.45 +- 0.09.
    assert text == (
        "GAN (PacGAN Table 1): modes missed by 0.30 (0.6 s.e.), good beaten by 1.0 points "
        "(5.0 s.e.), reverse KL missed by 0.050 nats (0.6 s.e.)"
    )


def test_a_gap_says_whose_error_is_known(make):
    (world,) = worlds([make(6.3, 0.982, 0.36)])
    assert compared(world, world.rows[0]) == (
        "GAN (PacGAN Table 1): modes equal, good equal, reverse KL beaten by 0.090 nats "
        "(1.0 published s.e.)"
    )
    grown = [make(modes, 0.982, seed=modes) for modes in (5, 7)]
    (world,) = worlds(grown)
    assert "modes missed by 0.30 (0.3 s.e.), good equal" in compared(world, world.rows[0])


@pytest.mark.parametrize(
    ("dataset", "variant", "ratio", "remedy", "modes"),
    [
        ("ring", "veegan", None, "pacgan3", (7.8, 0.1)),
        ("grid", "veegan", None, "plain", (17.3, 0.8)),
        ("grid", "veegan", None, "pacgan4", (24.8, 0.2)),
        ("stacked_mnist", "veegan", None, "pacgan2", (1000.0, 0.0)),
        ("stacked_mnist", "veegan", 0.25, "plain", (78.9, 6.46)),
        ("stacked_mnist", "unrolled", 0.25, "unrolled10", (327.2, 74.67)),
        ("stacked_mnist", "unrolled", 0.5, "unrolled1", (523.6, 55.77)),
        ("stacked_mnist", "unrolled", 0.5, "pacgan4", (820.2, 25.50)),
    ],
)
def test_published_counterparts(dataset, variant, ratio, remedy, modes):
    row = protocol_of(dataset, variant=variant, ratio=ratio).counterpart(remedy)
    assert (row.modes.mean, row.modes.error) == modes


@pytest.mark.parametrize(
    ("dataset", "variant", "ratio", "remedy"),
    [
        ("ring", "veegan", None, "unrolled5"),
        ("bimodal", "veegan", None, "plain"),
        ("stacked_fashion", "veegan", None, "plain"),
        ("stacked_mnist", "unrolled", 1.0, "plain"),
        ("gaussians1200", "veegan", None, "plain"),  # another notion of a good sample
        ("ring_unrolled", "veegan", None, "plain"),
        ("stacked_mnist", "unrolled", None, "plain"),
        ("my_world", "veegan", None, "plain"),
    ],
)
def test_what_nobody_published_has_no_counterpart(dataset, variant, ratio, remedy):
    assert protocol_of(dataset, variant=variant, ratio=ratio).counterpart(remedy) is None


def test_the_budget_is_a_share_of_the_published_iterations(make):
    (world,) = worlds([make(iterations=100_000)])
    assert world.rows[0].budget == 0.25
    assert "100,000 iterations, 25\N{NO-BREAK SPACE}% of the published 400,000." in caption([world])
    (world,) = worlds([make(dataset="bimodal", of=2.0)])
    assert world.rows[0].budget is None


def test_the_widths_choose_the_column_of_table_3(make):
    records = [
        make(500.0, dataset="stacked_mnist", of=1000.0, config=stacked(width=width))
        for width in (8, 16)
    ]
    quarter, half = worlds(records)
    assert quarter.rows[0].published.modes.mean == 78.5
    assert half.rows[0].published.modes.mean == 487.7
    assert quarter.rows[0].note == "unrolled, D = G/4; NonSaturating; m = 100 (published 128)"
    other = stacked(width=16, kind="DCGAN")
    (world,) = worlds([make(500.0, dataset="stacked_mnist", of=1000.0, config=other)])
    assert world.rows[0].published is None  # of other networks


def test_the_ring_by_another_protocol_is_not_pacgans(make):
    record = make().model_copy(update={"preset": "ring_unrolled"})
    (world,) = worlds([record])
    assert (world.protocol.name, world.protocol.iterations) == ("unrolled GAN's notebook", 25_000)
    assert world.rows[0].published is None


def test_markdown_shows_ours_theirs_and_the_perfect_sampler(make):
    records = [make(6.0), make(7.0, seed=1), make(8.0, remedy="a_b")]
    text = world_markdown(records, missing=["ring-packing2-seed0"])
    assert "| perfect sampler | 8.00 | 98.9 | 0.0014 | — | — | — | — | — | — |" in text
    assert "| plain | 6.50 ± 0.50 (6.30 ± 0.50) | 98.2 ± 0.0 (98.2 ± 0.2) |" in text
    assert "| 2 | 40,000 | 10\N{NO-BREAK SPACE}% | 4,000,000 | 60 | PacGAN 2-D; m = 100 |" in text
    assert "| a\\_b | 8.00 |" in text
    assert "not run: ring-packing2-seed0" in text
    assert "- plain against GAN (PacGAN Table 1): modes beaten by 0.20 (0.3 s.e.)" in text
    assert "PacGAN2 (PacGAN Table 1) 7.90 ± 0.10 modes" in text.split("Also published")[1]
    assert "; GAN (VEEGAN Table 1) 1.00 modes, good 99.3" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {11}


def test_confidences_are_shown_where_a_classifier_judged(make):
    extra = {"modes/confident_count": 400.0, "modes/confidence": 0.93}
    record = make(500.0, dataset="stacked_mnist", of=1000.0, extra=extra, config=stacked())
    assert "| confident modes | confidence |" in world_markdown([record])
    assert "| 500.0 (78.5 ± 17.6) |" in world_markdown([record])
    assert "confident modes 400.0, confidence 0.930" in world_terminal([record])
    assert "confident" not in world_markdown([make()])


def test_a_seed_without_a_divergence_is_said_to_be_left_out(make):
    records = [make(kl=0.2), make(kl=None, seed=1)]
    (world,) = worlds(records)
    assert world.rows[0].estimate(KL) == Estimate(0.2, None, 1)
    assert "reverse KL: 1 of 2 seeds" in world_terminal(records)
    assert "reverse KL: 1 of 2 seeds" in world_markdown(records)


def test_the_terminal_keeps_to_a_hundred_columns(make):
    long = "a_remedy_with_a_rather_long_name, and_another_one, and_yet_another_that_goes_on_and_on"
    big = {"iterations": 123_456, "seconds": 98_765.0}
    records = [
        *(make(8.0, remedy=remedy, seed=s, **big) for remedy in ("plain", long) for s in (0, 1)),
        make(1000.0, dataset="stacked_mnist", of=1000.0, config=stacked("unrolled10"), **big),
        make(
            100.0, dataset="stacked_mnist", of=1000.0, seed=1, config=stacked("unrolled10"), **big
        ),
    ]
    text = world_terminal(records, missing=["x" * 150])
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("Worlds with known modes\n")
    assert "perfect sampler" in text
    assert "PacGAN 2-D; m = 100" in text


def test_csv_has_the_columns_it_promises(make):
    records = [make(6.0), make(7.0, seed=1), make(remedy="=1+1")]
    found = list(csv.DictReader(io.StringIO(world_csv(records))))
    assert tuple(found[0]) == COLUMNS
    perfect, hostile, plain = sorted(found, key=lambda row: row["remedy"] != "perfect sampler")
    assert (perfect["modes"], perfect["seeds"], perfect["modes_se"]) == ("8", "", "")
    if hostile["remedy"] == "plain":
        plain, hostile = hostile, plain
    assert hostile["remedy"] == "'=1+1"
    assert hostile["modes_published"] == ""
    assert (plain["modes"], plain["modes_se"]) == ("6.5", "0.5")
    assert (plain["modes_published"], plain["modes_published_se"]) == ("6.3", "0.5")
    assert float(plain["modes_gap"]) == pytest.approx(0.2)
    assert float(plain["modes_gap_in_se"]) == pytest.approx(0.2 / math.sqrt(0.5), rel=0.01)
    assert (plain["published_as"], plain["published_share"]) == ("GAN, PacGAN Table 1", "0.1")
    assert plain["bank"] == "fresh"


def test_records_that_make_no_table_are_refused(make, make_record):
    with pytest.raises(UserError, match="no finished runs"):
        worlds([])
    with pytest.raises(UserError, match="has no modes/count"):
        worlds([make_record()])
    with pytest.raises(UserError, match="given twice"):
        worlds([make(), make()])
    with pytest.raises(UserError, match="several presets: other, tiny"):
        worlds([make(), make(seed=1, preset="other")])
    with pytest.raises(UserError, match="several sizes n"):
        worlds([make(), make(seed=1, n=10)])
    with pytest.raises(UserError, match="several numbers of modes: 7, 8"):
        worlds([make(), make(seed=1, of=7.0)])
