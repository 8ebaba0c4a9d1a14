"""The results that the README shows are those of the committed records."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ganstoch.auditing.output import terminal
from ganstoch.auditing.report import read_report
from ganstoch.cli import main
from ganstoch.records import read_record
from ganstoch.runs.settings import resolve_all

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RESULTS = sorted(path.parent for path in (ROOT / "sweeps" / "results").glob("*/plan.json"))


def test_there_are_results() -> None:
    assert [folder.name for folder in RESULTS] == [
        "grid",
        "remedies-mini",
        "ring",
        "ring_unrolled",
        "table1-mini",
        "table1-mini-measured",
        "table1-small-cifar10",
        "table1-small-fashion_mnist",
        "table1_matched-mini",
    ]


def rebuild(folder: Path) -> tuple[list[str], list[str]]:
    """The command that rebuilds a report, and the names of its texts."""
    if folder.name.startswith("table1"):
        return ["table1"], ["table1.md", "table1.csv", "table1.tex"]
    if folder.name.startswith("remedies"):
        return ["remedies"], ["remedies.md", "remedies.csv"]
    return ["remedies", "--world", folder.name], ["worlds.md", "worlds.csv"]


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_rebuilt(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder, tmp_path / "out")
    command, texts = rebuild(folder)
    assert main([*command, "--report", "--out", str(tmp_path / "out")]) == 0
    table = capsys.readouterr().out.strip()
    if folder.name != "table1-mini-measured":  # of that one the README shows the pictures
        assert table in README
    for name in texts:
        assert (tmp_path / "out" / name).read_text() == (folder / name).read_text()
    pages = list((tmp_path / "out").rglob("index.html"))
    assert len(pages) == 1 + len(list(folder.glob("runs/*/record.json")))


def test_runs_are_still_known(tmp_path: Path) -> None:
    """A setting that is new, and off, makes no other run of one that was finished before it."""
    lines, hashes = [], []
    for folder in RESULTS:
        for path in sorted(folder.glob("runs/*/record.json")):
            record = read_record(path)
            config = tmp_path / f"{len(lines)}.yaml"
            config.write_text(json.dumps(record.config))
            # What was asked for, of iterations as many as the row m = n/4 has.
            steps = record.config["trainer"]["max_steps"]
            if record.config["equal"] == "images":
                steps = steps * record.m // (record.n // 4)
            lines.append([f"--config={config}", f"--trainer.max_steps={steps}"])
            hashes.append(record.config_hash)
    assert [run.config_hash for run in resolve_all(lines)] == hashes
    assert len(hashes) >= 30


def test_the_race_is_the_one_that_was_run() -> None:
    measured = json.loads((ROOT / "sweeps" / "results" / "bench" / "bench.json").read_text())
    assert measured["quick"] is False
    for key, what in measured["what"].items():
        assert re.search(rf"^{key} +{measured[key]:.3f} .* {re.escape(what)}$", README, re.M), key
    for name, value in measured["equality"].items():
        assert value <= 1e-9
        assert f"  {name:<32}{value:.0e}\n" in README


def test_the_effect_is_there() -> None:
    """At equal iterations both means fall with m for every seed, and noise makes both worse."""
    folder = ROOT / "sweeps" / "results" / "table1-mini"
    runs = {
        (record.seed, record.m, record.noise): record.metrics
        for record in map(read_record, folder.glob("runs/*/record.json"))
    }
    assert len(runs) == 15
    for seed in (0, 1, 2):
        for name in ("overfitting/pixel_l1/mean", "mode_drop/pixel_l1/mean"):
            by_m = [runs[seed, m, 0.0][name] for m in (64, 16, 4, 1)]
            assert by_m == sorted(by_m)
            assert runs[seed, 64, 0.5][name] > runs[seed, 64, 0.0][name]


def test_the_audit_in_the_readme_is_that_of_the_committed_report() -> None:
    report = read_report(ROOT / "sweeps" / "results" / "audit" / "report.json")
    assert terminal(report) in README
    assert report.copied_share is not None
    truth = 128 / report.sets["generated"].images  # how the mixture was made
    assert report.copied_share.low <= truth <= report.copied_share.high


def test_the_page_of_a_run_leads_to_all_that_was_measured_of_it(tmp_path: Path) -> None:
    shutil.copytree(RESULTS[0].parent / "table1-mini-measured", tmp_path / "out")
    assert main(["table1", "--report", "--out", str(tmp_path / "out")]) == 0
    for page in (tmp_path / "out").glob("runs/*/index.html"):
        files = {path.name for path in page.parent.iterdir()} - {"index.html"}
        assert len(files) == 5
        assert all(f'href="./{name}"' in page.read_text() for name in files)


def test_the_promises_are_those_that_were_tried() -> None:
    """All that `make test-trust` counted stands in the README, with its counts."""
    counts = json.loads((ROOT / "sweeps" / "results" / "trust" / "trust.json").read_bytes())
    (section,) = re.findall(r"^## What we promise.*?(?=^## )", README, re.M | re.S)
    rows = re.findall(r"^\| (.+?) \| .+ \| ([\d,]+) \| ([\d,]+) \|$", section, re.M)
    shown = {
        name: {"tried": int(t.replace(",", "")), "kept": int(k.replace(",", ""))}
        for name, t, k in rows
    }
    assert shown == counts
    assert all(count["tried"] == count["kept"] > 0 for count in counts.values())
