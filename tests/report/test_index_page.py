"""`index.html` of a report and its runs' pages: what they show and where their links lead."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from ganstoch.errors import UserError, visible
from ganstoch.records import Measurement, write_record
from ganstoch.report import write_remedies_report, write_report, write_world_report
from ganstoch.report.remedies import remedies_markdown
from ganstoch.report.table1 import markdown
from ganstoch.report.worlds import world_markdown

HELD_OUT = (20.0, 21.0, 22.0, 30.0, 31.0, 32.0)


@pytest.fixture(autouse=True)
def no_drawing(pictures, monkeypatch):
    """Figures have tests of their own; here any picture will do."""
    for name in ("draw_figure", "draw_curves", "draw_heatmap", "draw_world_curves"):
        monkeypatch.setattr(
            f"ganstoch.report.reports.{name}", lambda *_, **__: pictures["real/r0.png"]
        )


def place(folder, record, *, panels=False):
    """Writes a run where `ganstoch table1` has it."""
    write_record(folder / "record.json", record)
    if panels:
        rng = np.random.default_rng(record.seed)
        np.savez(
            folder / "panels.npz",
            **{
                f"{direction}_{kind}": rng.integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
                for direction in ("overfitting", "mode_drop")
                for kind in ("queries", "pixel_l1", "inception_l2")
            },
        )
    return folder


@pytest.fixture
def table1(make_record, tmp_path):
    """A report of three runs in their folder; the first left images."""
    history = [(10, 30.0), (20, 12.0), (30, 8.0)]
    records = [
        make_record((8.0,) * 6, m=64, baseline=HELD_OUT, history=history),
        make_record((9.0,) * 6, m=64, baseline=HELD_OUT, seed=1),
        make_record((12.0,) * 6, m=4, baseline=HELD_OUT, converged=False),
    ]
    out = tmp_path / "results"
    runs = [
        place(out / "runs" / record.config_hash, record, panels=number == 0)
        for number, record in enumerate(records)
    ]
    write_report(out, runs, missing=["svhn-m1: no data"])
    return out, records


def cells_of_markdown(text):
    """Lines of every table of a Markdown text, without their rules."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [
        [re.sub(r"\\(.)", r"\1", cell) for cell in re.split(r"(?<!\\) \| ", line[2:-2])]
        for line in lines
    ]


def cells_of_page(page):
    """Lines of every table of results, of a page."""
    html_rows, row = [], None
    in_results = True
    for tag, attributes, texts in page.elements:
        if tag == "div" and attributes.get("role") == "region":
            in_results = "aria-label" in attributes
        if tag == "tr" and in_results:
            row = []
            html_rows.append(row)
        elif tag in ("td", "th") and in_results:
            row.append("".join(texts))
    return html_rows


def test_the_tables_are_those_of_the_markdown(table1, read_page):
    out, records = table1
    page = read_page((out / "index.html").read_text())
    rows = cells_of_page(page)
    assert rows == cells_of_markdown(markdown(records))
    assert len(rows) == 1 + 1 + 2
    (yardstick,) = page.all("tr", of_class="yardstick")
    assert yardstick[1].startswith("held-out real images")
    claims = [text for _, text in page.all("li", of_class="holds")]
    assert "holds: overfitting falls from m = 4 to m = 64 (12.00 to 8.50; one seed)" in claims
    assert [text for _, text in page.all("h1")] == ["Table 1"]
    assert "not run: svhn-m1" in (out / "table1.md").read_text()
    assert "svhn-m1: no data" in [text for _, text in page.all("li")]


def test_what_does_not_hold_says_so_in_words(make_record, tmp_path, read_page):
    runs = [
        place(tmp_path / "out" / "runs" / str(m), make_record((value,) * 6, m=m))
        for m, value in ((64, 9.0), (4, 8.0))
    ]
    write_report(tmp_path / "out", runs)
    page = read_page((tmp_path / "out" / "index.html").read_text())
    assert page.all("li", of_class="holds") == []
    fails = [text for _, text in page.all("li", of_class="fails")]
    assert len(fails) == 2
    assert all(text.startswith("does not hold: ") for text in fails)


def dead_links(folder):
    """Links of all pages below a folder that lead nowhere, or out of it."""
    dead = []
    for page in folder.rglob("*.html"):
        text = page.read_text().split("</style>")[1]
        for address in re.findall(r'(?:href|src)="([^"]*)"', text):
            parts = urlsplit(address)
            if parts.scheme == "data" or (not parts.path and parts.fragment):
                continue
            target = (page.parent / unquote(parts.path)).resolve()
            inside = target.is_relative_to(folder.resolve())
            if parts.scheme or parts.netloc or not inside or not target.is_file():
                dead.append((page, address))
    return dead


def test_a_moved_folder_has_no_dead_links(table1, tmp_path):
    out, _ = table1
    assert dead_links(out) == []
    shutil.move(out, tmp_path / "elsewhere")
    assert dead_links(tmp_path / "elsewhere") == []
    (tmp_path / "elsewhere" / "fig1.png").unlink()
    assert {address for _, address in dead_links(tmp_path / "elsewhere")} == {"fig1.png"}


def test_every_run_is_one_click_away_and_the_way_back_too(table1, read_page):
    out, records = table1
    index = read_page((out / "index.html").read_text())
    links = {text: a["href"] for a, text in index.all("a")}
    for record, label in zip(
        records,
        ["SVHN, m = 64 (n/4), seed 0", "SVHN, m = 64 (n/4), seed 1", "SVHN, m = 4 (n/64), seed 0"],
        strict=True,
    ):
        assert links[label] == f"./runs/{record.config_hash}/index.html"
        assert links[f"record.json of {label}"] == f"./runs/{record.config_hash}/record.json"
        page = read_page((out / links[label]).read_text())
        assert page.all("h1")[0][1] == label
        back = {text: a["href"] for a, text in page.all("a")}
        assert back["All runs"] == "./../../index.html"
        assert back["record.json"] == "./record.json"


def test_a_run_shows_its_measures_curves_images_and_settings(table1, read_page):
    out, records = table1
    html = (out / "runs" / records[0].config_hash / "index.html").read_text()
    page = read_page(html)
    names = [text for _, text in page.all("th", role="rowheader")]
    assert names[:2] == ["overfitting, pixel l1, mean", "mode drop, pixel l1, mean"]
    assert len(names) == 6
    cells = [
        (a["data-label"], text) for a, text in page.all("td", role="cell") if "data-label" in a
    ]
    assert cells[:2] == [("This run", "8"), ("Held out", "20")]
    plots = [a["aria-label"] for a, _ in page.all("div", of_class="plot")]
    assert plots == [
        "mean pixel l1, grey levels over iterations: overfitting ends at 8",
        "mean pixel l1, grey levels over iterations: mode drop ends at 8",
    ]
    # Iterations 10, 20 and 30: 30.0, 12.0 and 8.0 of an axis that ends 5 % above 30.
    assert "M0.00 4.76L50.00 61.90L100.00 74.60" in html
    assert len(page.all("img")) == 2 * 4 * 3
    alts = [a["alt"] for a, _ in page.all("img")]
    assert alts[:3] == [
        "generated, image 1",
        "nearest data, by pixel, image 1",
        "nearest data, by inception, image 1",
    ]
    settings = page.all("table", of_class="settings")[0][1]
    for words in ("equaliterations", "model.optimizer.lr0.0002", "torch2", "2 CPU cores"):
        assert words in settings
    bare = read_page((out / "runs" / records[1].config_hash / "index.html").read_text())
    assert bare.all("img") == []
    assert bare.all("div", of_class="plot") == []  # no history


def test_remedies_and_worlds_have_pages_too(make_record, tmp_path, read_page):
    records = [
        make_record((8.0,) * 6, m=m, baseline=HELD_OUT, config={"remedy": remedy}, seed=seed)
        for m in (256, 16)
        for seed, remedy in enumerate(("plain", "packing2"))
    ]
    out = tmp_path / "remedies"
    runs = [place(out / "runs" / str(i), record) for i, record in enumerate(records)]
    write_remedies_report(out, runs)
    page = read_page((out / "index.html").read_text())
    assert cells_of_page(page) == cells_of_markdown(remedies_markdown(records))
    assert "SVHN, packing2, m = 16 (n/16), seed 1" in [text for _, text in page.all("a")]

    metrics = {"modes/count": 3.0, "modes/of": 8.0, "modes/good_share": 0.9}
    world = dataclasses.replace(
        make_record(dataset="ring", bank=None),
        metrics=metrics,
        baseline={**metrics, "modes/count": 8.0},
        history=tuple(
            Measurement(iteration=i, images_seen=i, metrics={"modes/count": 1.0 * i})
            for i in (1, 2)
        ),
    )
    out = tmp_path / "world"
    write_world_report(out, [place(out / "runs" / "a", world)], missing=["b"])
    page = read_page((out / "index.html").read_text())
    assert cells_of_page(page) == cells_of_markdown(world_markdown([world]))
    assert page.all("tr", of_class="yardstick")[0][1].startswith("perfect sampler")
    run = read_page((out / "runs" / "a" / "index.html").read_text())
    assert "a perfect sampler" in [text for _, text in run.all("li")]
    for folder in (tmp_path / "remedies", out):
        assert dead_links(folder) == []


@pytest.mark.parametrize("where", ["elsewhere/a", "out/../elsewhere/a", "out"])
def test_pages_of_runs_that_lie_elsewhere_are_written_in_the_folder(
    make_record, tmp_path, where, monkeypatch
):
    """A list of runs is a file, and could be anybody's: nothing is written outside the report."""
    monkeypatch.chdir(tmp_path)
    run = place(Path(where), make_record())
    before = sorted(tmp_path.rglob("*"))
    write_report(Path("out"), [run])
    new = {path for path in tmp_path.rglob("*") if path not in before}
    assert all(path.is_relative_to(tmp_path / "out") for path in new)
    name = "out" if where == "out" else "a"
    assert tmp_path / "out" / "runs" / name / "index.html" in new
    assert dead_links(tmp_path) == []


def test_runs_of_one_name_have_pages_of_their_own(make_record, tmp_path):
    runs = [
        place(tmp_path / parent / "a", make_record(seed=seed))
        for seed, parent in enumerate(("one", "two", "three"))
    ]
    write_report(tmp_path / "out", runs)
    pages = sorted(p.parent.name for p in (tmp_path / "out" / "runs").rglob("index.html"))
    assert pages == ["a", "a-2", "a-3"]


def test_no_name_can_change_the_pages(make_record, tmp_path, read_page, hostile):
    name = 'javascript:alert(1)"><b>%2e%2e #?&'
    record = make_record(
        (8.0,) * 6,
        dataset=hostile,
        preset=hostile,
        hardware=hostile,
        baseline=HELD_OUT,
        config={"remedy": hostile, hostile: [hostile]},
    )
    record = dataclasses.replace(
        record,
        versions={hostile: hostile},
        git_sha=hostile,
        metrics={**record.metrics, hostile: 1.0},
    )
    record = dataclasses.replace(record, config_hash=hostile, subset_sha256=hostile)
    for number, write in enumerate((write_report, write_remedies_report)):
        out = tmp_path / str(number)
        # The tables in Markdown cannot be written with half a surrogate pair; pages are ours.
        clean = {"dataset": hostile.replace("\udcff", ""), "hardware": "x", "preset": "p"}
        clean["config"] = {"remedy": hostile.replace("\udcff", "")}
        run = place(out / "runs" / name, dataclasses.replace(record, **clean))
        write(out, [run], missing=[hostile.replace("\udcff", "")])
        assert dead_links(out) == []
        for path in out.rglob("index.html"):
            page = read_page(path.read_text())
            assert {tag for tag, _, _ in page.elements}.isdisjoint({"b", "script"})
            body = path.read_text().split("</style>")[-1].replace("\n", "")
            assert {c for c in body if not c.isprintable()} <= {"\xa0"}
            assert "\u27e8U+202E\u27e9gpj.exe" in body
            hrefs = [a["href"] for a, _ in page.all("a")]
            assert not [h for h in hrefs if h.lower().startswith("javascript")]
    assert visible(hostile) != hostile


def test_damaged_images_leave_an_older_report_alone(table1):
    out, records = table1
    before = {path: path.read_bytes() for path in out.rglob("*.html")}
    folder = out / "runs" / records[0].config_hash
    (folder / "panels.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"panels\.npz cannot be read"):
        write_report(out, [folder])
    assert {path: path.read_bytes() for path in out.rglob("*.html")} == before


def test_equal_records_give_equal_pages(table1):
    out, records = table1
    before = {path: path.read_bytes() for path in out.rglob("*.html")}
    assert len(before) == 4
    folders = [out / "runs" / record.config_hash for record in records]
    write_report(out, folders, missing=["svhn-m1: no data"])
    assert {path: path.read_bytes() for path in out.rglob("*.html")} == before
