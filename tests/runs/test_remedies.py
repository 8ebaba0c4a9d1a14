"""`ganstoch remedies` from the command line to the report, on worlds and networks of toy size."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganstoch.records import Record, read_record
from ganstoch.runs import table
from ganstoch.runs.configs import SYNTHETIC, packaged_names
from ganstoch.runs.sweep import Sweep

Command = Callable[..., Any]

SMALL = {
    "trainer.max_steps": "3",
    "evaluation.every": "2",
    "data.n": "64",
    "data.m": "16",
    "model.generator.init_args.width": "8",
    "model.generator.init_args.depth": "1",
    "model.discriminator.init_args.width": "8",
    "wandb.mode": "disabled",
}
RING = ["index.html", "modes.gif", "modes.png", "plan.json"]
RING += ["synthetic.csv", "synthetic.md", "synthetic_curves.png"]
IMAGES = ["index.html", "plan.json", "remedies.csv", "remedies.md", "remedies.png"]

Finished = tuple[Path, int, str, list[str]]
"""A folder, the command's status, what it said, and the rows that it started."""


def ring(names: str, *words: str) -> list[str]:
    """The words behind `ganstoch` for remedies on a small ring."""
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    return ["remedies", "--synthetic", "ring", "--remedies", names, *settings, *words]


RING_LINE = ring("plain,packing2+hinge", "--seeds", "0,3")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, first_time: Command) -> Finished:
    """Two remedies and two seeds on the ring; do not touch."""
    out = tmp_path_factory.mktemp("ring") / "out"
    return out, *first_time(*RING_LINE, "--out", str(out))


@pytest.fixture(scope="session")
def images_line(tiny_rows: tuple[str, ...]) -> list[str]:
    """The same for two remedies on 64 digits, one of which takes no noise."""
    words = ["remedies", "--preset", "mini", "--remedies", "plain,svre", "--set", "data.n=64"]
    return [*words, *tiny_rows]


@pytest.fixture(scope="module")
def partial(
    tmp_path_factory: pytest.TempPathFactory, images_line: list[str], first_time: Command
) -> Finished:
    """Those, as far as they can be carried out; do not touch."""
    out = tmp_path_factory.mktemp("images") / "out"
    return out, *first_time(*images_line, "--out", str(out))


def copied(finished: Finished, here: Path) -> Path:
    shutil.copytree(finished[0], here / "out")
    return here / "out"


def records(out: Path) -> list[Record]:
    return [read_record(path) for path in sorted(out.glob("runs/*/record.json"))]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_ring(whole: Finished) -> None:
    out, status, said, started = whole
    assert status == 0
    assert sorted(started) == [
        f"ring-n64-m16-bank-fresh{remedy}-seed{seed}"
        for remedy in ("-packing2+hinge", "")
        for seed in (0, 3)
    ]
    by_name = {(record.config["remedy"], record.seed): record for record in records(out)}
    assert set(by_name) == {(name, seed) for name in ("plain", "packing2+hinge") for seed in (0, 3)}
    for record in by_name.values():
        assert [m.iteration for m in record.history] == [2, 3]
        assert record.metrics["modes/of"] == 8
        assert record.images_seen == 3 * 16
    assert sorted(contents(out)) == RING
    for name in ("plain", "packing2+hinge"):
        assert name in said
        assert name in (out / "synthetic.md").read_text()
    assert all((run / "trail.npz").exists() for run in (out / "runs").iterdir())


def test_images(partial: Finished) -> None:
    """Every remedy meets every amount of chance; what cannot be is named and stops nothing."""
    out, status, said, started = partial
    assert status == 1
    chance = ["m64", "m4", "m1", "m64-noise0.5"]
    assert sorted(started) == sorted(
        f"digits-n64-{each}{remedy}-seed0" for each in chance for remedy in ("", "-svre")
    )
    (failed,) = [each for each in said.splitlines() if each.startswith("FAILED")]
    assert failed.startswith("FAILED digits-n64-m64-noise0.5-svre-seed0: SVRE ")
    assert {(r.config["remedy"], r.m, r.noise) for r in records(out)} == {
        *(("plain", m, 0.0) for m in (64, 4, 1)),
        *(("svre", m, 0.0) for m in (64, 4, 1)),
        ("plain", 64, 0.5),
    }
    assert sorted(contents(out)) == IMAGES
    assert "digits-n64-m64-noise0.5-svre-seed0" in (out / "remedies.md").read_text()


def test_only_what_failed_is_tried_again(
    partial: Finished, images_line: list[str], here: Path, ganstoch: Command, started: list[str]
) -> None:
    copied(partial, here)
    assert ganstoch(*images_line, "--out", "out").status == 1
    assert started == ["digits-n64-m64-noise0.5-svre-seed0"]


def test_reports_need_records_alone(
    whole: Finished, partial: Finished, finished_table: tuple[Path, list[str]], here: Path
) -> None:
    """In a process of its own: no torch, no Lightning, the same bytes."""
    before = {}
    finished = {"ring": whole, "images": partial, "table1": finished_table}
    for name, (folder, *_) in finished.items():
        shutil.copytree(folder, here / name, ignore=shutil.ignore_patterns("*.ckpt"))
        before[name] = contents(here / name)
        for file in before[name]:
            if file != "plan.json":
                (here / name / file).unlink()
    program = (
        "import sys\n"
        "from ganstoch.cli import main\n"
        "lines = ('remedies --synthetic ring --out ring', 'remedies --out images',\n"
        "         'table1 --out table1')\n"
        "status = [main([*line.split(), '--report']) for line in lines]\n"
        "heavy = {'torch', 'torchvision', 'pytorch_lightning', 'lightning_fabric', 'wandb'}\n"
        "print(sorted(heavy & set(sys.modules)), status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "[] [0, 0, 0]"
    assert {name: contents(here / name) for name in before} == before


@pytest.mark.parametrize("synthetic", [None, *SYNTHETIC])
def test_each_kind_of_data_has_a_sweep_and_a_folder(
    synthetic: str | None, ganstoch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[Sweep, Path]] = []
    monkeypatch.setattr(
        table, "_run", lambda sweep, options, out, write: runs.append((sweep, out)) or 0
    )
    words = ["--preset", "small"] if synthetic is None else ["--synthetic", synthetic]
    assert ganstoch("remedies", *words).status == 0
    assert ganstoch("remedies", *words, "--out", "x").status == 0
    (sweep, out), (again, elsewhere) = runs
    del runs[:]
    assert sweep == again
    assert elsewhere == Path("x")
    assert out == Path("runs") / (synthetic or "remedies-small")
    assert sweep.parameters["remedy"][0] == "plain"  # what the others are held against
    assert "seed_everything" in sweep.parameters
    assert sweep.preset in packaged_names()
    if synthetic == "stacked":
        assert ganstoch("remedies", *words, "--data", "stacked_fashion").status == 0
        assert runs[-1][0].parameters["data.source"] == ["StackedFashion"]


def test_report_by_default_is_where_the_runs_are(
    whole: Finished, here: Path, started: list[str], ganstoch: Command
) -> None:
    line = ["remedies", "--synthetic", "ring", "--report"]
    assert "runs/ring" in ganstoch(*line).complaint
    shutil.copytree(whole[0], here / "runs" / "ring")
    answer = ganstoch(*line)
    assert (answer.status, answer.err) == (0, "")
    assert "packing2+hinge" in answer.out
