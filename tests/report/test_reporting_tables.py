"""Table 1 in Markdown, CSV, LaTeX and plain text against files checked by hand; hostile names."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from ganstoch.report.captions import caption
from ganstoch.report.exports import COLUMNS, comma_separated, latex
from ganstoch.report.table1 import markdown, terminal
from ganstoch.report.words import compact, duration, share

GOLDEN = Path(__file__).parent / "golden"
MISSING = ["svhn-m4-seed1"]


@pytest.mark.parametrize("name", ["table1.md", "table1.tex", "table1.txt", "table1.csv"])
def test_golden(name, golden_records):
    made = {
        "table1.md": lambda: markdown(golden_records, missing=MISSING),
        "table1.tex": lambda: latex(golden_records, missing=MISSING),
        "table1.txt": lambda: terminal(golden_records, missing=MISSING),
        "table1.csv": lambda: comma_separated(golden_records),
    }[name]()
    assert made == (GOLDEN / name).read_text(encoding="utf-8")


def test_csv_has_the_columns_it_promises(golden_records):
    rows = list(csv.reader(io.StringIO(comma_separated(golden_records))))
    six = [f"{d}_{s}" for d in ("overfitting", "mode_drop") for s in ("mean", "worst10", "worst5")]
    assert rows[0] == [
        *("dataset", "m", "noise", "seeds"),
        *six,
        *(f"{name}_paper" for name in six),
        *(f"{name}_sd" for name in six),
        *("iterations", "images_seen", "converged", "seconds", "n", "preset"),
    ]
    assert tuple(rows[0]) == COLUMNS
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert [row[1] for row in rows[1:]] == ["held-out", "64", "1", "64", "256"]


def test_csv_tells_banks_apart_where_there_are_several(make_record):
    records = [make_record(), make_record(bank=512), make_record(bank=None)]
    rows = list(csv.DictReader(io.StringIO(comma_separated(records))))
    assert [row["bank"] for row in rows] == ["256", "512", "fresh"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", '=cmd|"/c calc"!A1', "@1"])
def test_a_name_cannot_run_as_a_formula_in_a_spreadsheet(name, make_record):
    text = comma_separated([make_record(dataset=name, preset=name)])
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["dataset"] == row["preset"] == f"'{name}"


def test_latex_escapes_names(make_record):
    text = latex([make_record(dataset="my_set", hardware="50% & #1 {x} ~^\\")], missing=["a_b"])
    assert r"my\_set" in text
    assert "my_set" not in text
    assert r"50\% \& \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    assert r"not run: a\_b" in text


def test_every_latex_line_has_ten_columns(golden_records):
    text = latex(golden_records)
    body = text.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if " & " in line]
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {10}
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")


def test_markdown_cells_survive_a_pipe_in_a_name(make_record):
    text = markdown([make_record(dataset="a|b", preset="p`q")])
    assert r"## a\|b (n = 256, preset p\`q)" in text


def test_the_terminal_keeps_to_a_hundred_columns(make_record):
    names = ("cifar10", "a_very_long_name_of_a_folder_of_images" * 4)
    records = [
        make_record(
            [123.456] * 6,
            dataset=name,
            n=12_800,
            m=m,
            noise=noise,
            seed=seed,
            iterations=1_234_567,
            converged=seed != 9,
            seconds=1e5,
            baseline=[234.5] * 6,
        )
        for name in names
        for m in (12_800, 3200, 1)
        for noise in (0.0, 0.25)
        for seed in range(10)
    ]
    text = terminal(records, missing=[f"cifar10-m{m}" for m in range(40)])
    too_long = [line for line in text.splitlines() if len(line) > 100]
    assert [line for line in too_long if names[1] not in line] == []
    assert "  1.23M  15.8G  9 of 10 27 h 47 min" in text


def test_caption_names_every_difference_from_the_paper(make_record):
    text = caption([make_record(seconds=4321.0)])
    for part in (
        "Preset tiny: SVHN (n = 256); seed 0.",
        "Trained on 2 CPU cores; 1 run, 1 h 12 min in all",
        "equal iterations: 1,000 for every row.",
        "Not as in the paper: n 256 (paper 12,800), width 64 (paper 1,024), "
        "learning rate 0.0002 (paper 0.0001).",
        "As in the paper: latent size, beta1, beta2.",
        "neither its iterations nor its hardware, nor the EMA's decay (here 0.999).",
    ):
        assert part in text
    assert "standard deviation" not in text


def test_caption_at_the_papers_own_setting(make_record):
    model = {
        "generator": {"init_args": {"width": 1024, "latent_dim": 512}},
        "discriminator": {"init_args": {"width": 1024}},
        "optimizer": {"lr": 1e-4},
        "ema_decay": 0.9999,
    }
    config = {"equal": "images", "model": model}
    records = [
        make_record(dataset=name, n=12_800, m=m, config=config, seed=seed, iterations=6400 // m)
        for name in ("svhn", "ffhq")
        for m in (3200, 800)
        for seed in (0, 1)
    ]
    text = caption(records)
    assert "Not as in the paper" not in text
    assert "As in the paper: n, width, latent size, learning rate." in text
    assert "SVHN and FFHQ (n = 12,800 each); 2 seeds (0, 1)." in text
    assert "equal images seen: 6,400 for every row" in text
    assert "(here 0.9999)" in text


def test_caption_names_a_precision_below_the_papers(make_record):
    record = make_record()
    for precision, said in (("bf16-mixed", True), ("32-true", False)):
        config = {**record.config, "trainer": {"precision": precision}}
        assert ("Computed in bf16-mixed." in caption([make_record(config=config)])) is said


def test_caption_does_without_a_configuration(make_record):
    records = [
        make_record(dataset="digits", config={"model": None}, m=m, iterations=i)
        for m, i in ((64, 10), (16, 20))
    ]
    text = caption([*records, make_record(dataset="digits", config={}, seed=3)])
    assert "width" not in text
    assert "Beside our values" not in text
    assert "1 to 2 seeds a row (0, 3)" in text
    assert "10\N{EN DASH}1,000 iterations, 320\N{EN DASH}64,000 images seen." in text


def test_caption_tells_the_players_apart_and_lists_several_values(make_record):
    def config(width, lr):
        model = {
            "generator": {"init_args": {"width": width}},
            "discriminator": {"init_args": {"width": 1024}},
            "optimizer": {"lr": lr},
        }
        return {"model": model}

    text = caption([make_record(config=config(8, 1e-4)), make_record(m=4, config=config(16, 1e-3))])
    assert "generator width 8 and 16 (paper 1,024)" in text
    assert "learning rate 0.0001 and 0.001 (paper 0.0001)" in text
    assert "As in the paper: discriminator width." in text


def test_numbers_in_words():
    times = (0.04, 12.4, 59.7, 60, 200, 3599.9, 4321, 86_400)
    assert [duration(s) for s in times] == [
        *("0.0 s", "12 s", "1 min", "1 min", "3 min 20 s", "1 h", "1 h 12 min", "24 h"),
    ]
    counts = (0, 950, 999.6, 1000, 51_200, 999_600, 1_024_000, 2.5e9)
    assert [compact(v) for v in counts] == [
        *("0", "950", "1k", "1k", "51.2k", "1M", "1.02M", "2.5G"),
    ]
    shares = ((64, 64), (64, 16), (1000, 62), (12_800, 1))
    assert [share(n, m) for n, m in shares] == ["n", "n/4", "n/16.1", "n/12800"]
