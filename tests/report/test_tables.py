import io
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganstoch.errors import UserError
from ganstoch.report import tables
from ganstoch.report.captions import claims
from ganstoch.report.formatting import duration, share
from ganstoch.report.frame import curve, frame, history
from ganstoch.report.published import SCORES, lookup, published_table1

HELD_OUT = (20.0, 21.0, 22.0, 20.0, 21.0, 22.0)


def read(table: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(tables.csv(table)), dtype={"bank": str})


def test_a_row_is_the_mean_and_deviation_of_its_seeds(make_record: Any) -> None:
    values = {0: 10.0, 1: 12.5, 2: 11.0}
    records = [make_record((v,) * 6, seed=s, m=16, baseline=HELD_OUT) for s, v in values.items()]
    held_out, row = read(tables.table1_csv(frame(records))).to_dict("records")
    assert row["seeds"] == held_out["seeds"] == 3
    assert (held_out["remedy"], row["remedy"]) == ("held-out real", "plain")
    for name, real in zip(SCORES, HELD_OUT, strict=True):
        assert row[name] == pytest.approx(mean(values.values()), rel=1e-5)
        assert row[f"{name}_sd"] == pytest.approx(stdev(values.values()), rel=1e-5)
        assert (held_out[name], held_out[f"{name}_sd"]) == (real, 0.0)


def test_rows_stand_in_the_order_of_the_paper(make_record: Any) -> None:
    records = [
        make_record(m=m, noise=noise, seed=seed, bank=bank, dataset=dataset)
        for dataset in ("svhn", "a")
        for m, noise, bank in ((64, 0.5, 256), (1, 0.0, 256), (64, 0.0, None), (64, 0.0, 256))
        for seed in (1, 0)
    ]
    runs = frame(records)
    assert list(dict.fromkeys(runs.dataset)) == ["svhn", "a"]
    assert list(runs.seed) == [0, 1] * 8
    table = tables.table1_csv(runs)[:4]
    assert list(zip(table.m, table.noise, table.bank, strict=True)) == [
        (64, 0.0, "256"),
        (64, 0.0, "fresh"),
        (1, 0.0, "256"),
        (64, 0.5, "256"),
    ]


def test_the_papers_value_stands_beside_the_same_share_of_n(make_record: Any) -> None:
    runs = frame([make_record(m=64), make_record(m=64, noise=0.5), make_record(m=64, bank=None)])
    table = tables.table1_csv(runs)
    assert table.overfitting_mean_paper.tolist()[:1] == [1.55]
    assert np.isnan(table.overfitting_mean_paper[1])  # fresh latents: the paper has k = n
    assert table.mode_drop_worst5_paper[2] == 22.76
    assert lookup("svhn", n_over_m=4.1, noise=0.0) is not None
    assert lookup("svhn", n_over_m=4.3, noise=0.0) is None
    (section,) = tables.table1(runs)
    assert list(section.shown.overfitting) == ["1.00", "1.55", "1.00", "1.00", "6.09"]


def test_a_name_cannot_run_as_a_formula_in_a_spreadsheet(make_record: Any) -> None:
    for name in ("=1+1", "+1", "-1", "@SUM(A1)"):
        table = read(tables.table1_csv(frame([make_record(dataset=name, preset=name)])))
        assert table.dataset[0] == table.preset[0] == f"'{name}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ([], "no finished runs"),
        ([{"seed": 3}, {"seed": 3}], "seed 3"),
        ([{}, {"seed": 1, "preset": "mini"}], r"preset.*mini, tiny"),
        ([{}, {"seed": 1, "n": 128}], r"\bn: 128, 256"),
        ([{"seed": 1}, {"metrics": {}}], "overfitting/pixel_l1/mean"),
    ],
)
def test_what_makes_no_table_is_named(make_record: Any, changes: Any, named: str) -> None:
    with pytest.raises(UserError, match=named):
        tables.table1_csv(frame([make_record(**change) for change in changes]))


def test_a_curve_is_the_mean_over_seeds_wherever_one_was_measured(make_record: Any) -> None:
    records = [
        make_record(seed=0, history=[(10, 4.0), (20, 2.0)]),
        make_record(seed=1, history=[(15, 9.0), (30, 6.0)]),
    ]
    each = curve(history(frame(records)), SCORES["overfitting_mean"])
    assert list(each.index) == [15, 20, 30]  # before 15 the second seed has no value
    assert each["mean"].tolist() == pytest.approx([(3 + 9) / 2, (2 + 8) / 2, (2 + 6) / 2])
    assert (each.low[30], each.high[30]) == (2.0, 6.0)
    assert curve(history(frame(records)), "no/such").empty


def verdicts(runs: pd.DataFrame) -> list[bool]:
    return [": holds (" in claim for claim in claims(runs)]


def test_claims(make_record: Any) -> None:
    """Seeds 0 and 1 memorize more with larger m; noise helps in one of them."""
    rows = [(64, 0.0, 10.0, 11.0), (16, 0.0, 15.0, 16.0), (64, 0.5, 12.0, 10.5)]
    records = [
        make_record((values[seed],) * 6, m=m, noise=noise, seed=seed, baseline=HELD_OUT)
        for m, noise, *values in rows
        for seed in (0, 1)
    ]
    assert verdicts(frame(records)) == [True] * 5
    assert "10.50 to 11.25; 1 of 2 seeds" in list(claims(frame(records)))[1]
    worse = [r for r in records if r.m == 16 or r.noise] + [make_record((30.0,) * 6, m=64)]
    assert verdicts(frame(worse)) == [False] * 5


def test_the_paper_bears_its_own_claims_out(make_record: Any) -> None:
    for dataset, rows in published_table1().groupby("dataset", sort=False):
        records = [
            make_record(
                row[[*SCORES]],
                dataset=dataset,
                n=12_800,
                m=12_800 // int(row.n_over_m),
                noise=row.noise,
            )
            for _, row in rows.iterrows()
        ]
        expected = 8 if dataset == "svhn" else 10  # [1, Sec. 5.2] for the others
        assert verdicts(frame(records)) == [True] * expected


def test_remedies_are_measured_against_plain_in_the_same_column(make_record: Any) -> None:
    records = [
        make_record((value,) * 6, m=m, remedy=remedy)
        for remedy, m, value in (
            *(("plain", 256, 10.0), ("plain", 16, 20.0)),
            *(("r1", 256, 9.0), ("r1", 16, 25.0), ("unrolled10", 16, 8.0), ("unrolled5", 16, 30.0)),
        )
    ]
    table = tables.remedies_csv(frame(records)).set_index(["remedy", "m"])
    assert table.mode_drop_change["r1", 256] == pytest.approx(-0.1)
    assert table.mode_drop_change["r1", 16] == pytest.approx(0.25)
    assert np.isnan(table.mode_drop_change["plain", 256])
    _, section = tables.remedies(frame(records))
    assert list(section.shown["mode drop"]) == ["plain", "r1", "unrolled5", "unrolled10"]
    (remark,) = section.remarks
    assert "r1 at m = n;" in remark
    assert "unrolled10 at m = n/16" in remark
    assert "unrolled5" not in remark


def test_gaps_to_published_values_are_in_standard_errors(make_record: Any) -> None:
    def points(seed: int, modes: float, remedy: str = "plain", **metrics: float) -> Any:
        metrics |= {"modes/count": modes, "modes/of": 8.0, "modes/good_share": 0.5}
        sizes: dict[str, Any] = {"bank": None, "n": 1000, "m": 100, "iterations": 4000}
        best = make_record(dataset="ring", seed=seed, remedy=remedy, metrics=metrics, **sizes)
        return best.model_copy(update={"baseline": {"modes/count": 8.0, "modes/of": 8.0}})

    kl = "modes/reverse_kl"
    divergence: list[dict[str, Any]] = [{kl: 0.1}, {}, {kl: 0.3}]
    modes = (6.0, 8.0, 7.0)
    records = [points(s, modes[s], **more) for s, more in enumerate(divergence)]
    table = tables.synthetic_csv(frame([*records, points(0, 8.0, "r1")]))
    true, plain, other = table.to_dict("records")
    assert (true["remedy"], true["modes"]) == ("true samples", 8.0)
    error = stdev(modes) / np.sqrt(3)
    assert plain["modes_se"] == pytest.approx(error)
    assert plain["modes_gap"] == pytest.approx(7.0 - 6.3)
    assert plain["modes_gap_in_se"] == pytest.approx(0.7 / np.hypot(error, 0.5))
    assert plain["good_percent_gap_in_se"] == pytest.approx((98.2 - 50.0) / 0.2)
    assert plain["published_share"] == 0.01
    assert (plain["reverse_kl"], plain["reverse_kl_se"]) == pytest.approx((0.2, 0.1))
    assert np.isnan(other["modes_gap"])
    with pytest.raises(UserError, match="modes/count"):
        tables.synthetic_csv(frame([make_record()]))


def test_numbers_in_words() -> None:
    words = {0.25: "0.2 s", 59.6: "1 min", 200: "3 min 20 s", 4321: "1 h 12 min"}
    assert {seconds: duration(seconds) for seconds in words} == words
    assert [share(n, m) for n, m in ((8, 8), (256, 64), (7, 2))] == ["n", "n/4", "n/3.5"]
