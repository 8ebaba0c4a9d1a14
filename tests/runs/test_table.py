"""`ganstoch table1` and `ganstoch remedies` from the command line to the report, of toy size."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.records import Record, read_record
from ganstoch.runs import table
from ganstoch.runs.configs import SYNTHETIC, packaged_names
from ganstoch.runs.sweep import Sweep

Command = Callable[..., Any]
Finished = tuple[Path, int, str, list[str]]
"""A folder, the command's status, what it said, and the rows that it started."""

TABLE = {"fig1.png", "fig2.png", "curves.png", "table1.csv", "table1.md", "table1.tex"}
RING = {"modes.gif", "modes.png", "synthetic_curves.png"}
RING |= {"synthetic.csv", "synthetic.md", "synthetic.tex"}
IMAGES = {"remedies.csv", "remedies.md", "remedies.png", "remedies.tex"}
SWEEP = 'method: grid\ncommand: ["${env}", ganstoch, fit, --config, mini, "${args}"]\nparameters: '
SMALL = [
    *("trainer.max_steps=3", "evaluation.every=2", "data.n=64", "data.m=16"),
    *("model.generator.init_args.width=8", "model.generator.init_args.depth=1"),
    *("model.discriminator.init_args.width=8", "wandb.mode=disabled"),
]


def records(out: Path) -> list[Record]:
    return [read_record(path) for path in sorted(out.glob("runs/*/record.json"))]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def failed(answer: Any) -> list[str]:
    """The lines on rows that failed."""
    return [line for line in answer.out.splitlines() if line.startswith("FAILED ")]


@pytest.fixture
def table1(ganstoch: Command, tiny_rows: Any, started: list[str]) -> Command:
    """The whole table on 256 digits in the folder `out`, its rows in this process."""

    def table1(*words: object) -> Any:
        return ganstoch("table1", "--preset", "mini", *tiny_rows, "--out", "out", *words)

    return table1


@pytest.fixture
def out(here: Path, finished_table: tuple[Path, list[str]]) -> Path:
    """A copy of the finished table."""
    return Path(shutil.copytree(finished_table[0], here / "out"))


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory, first_time: Command) -> Finished:
    """Two remedies and two seeds on a small ring; do not touch."""
    out = tmp_path_factory.mktemp("ring") / "out"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    words = ["--synthetic", "ring", "--remedies", "plain,packing2+hinge", "--seeds", "0,3"]
    return out, *first_time("remedies", *words, *settings, "--out", str(out))


@pytest.fixture(scope="module")
def images_line(tiny_rows: Any) -> list[str]:
    """The words behind `ganstoch` for two remedies on 64 digits, one of which takes no noise."""
    words = ["remedies", "--preset", "mini", "--remedies", "plain,svre", "--set", "data.n=64"]
    return [*words, *tiny_rows]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, images_line: Any, first_time: Any) -> Finished:
    """Those, as far as they can be carried out; do not touch."""
    out = tmp_path_factory.mktemp("images") / "out"
    return out, *first_time(*images_line, "--out", str(out))


def test_every_row_is_run_and_reported(finished_table: tuple[Path, list[str]]) -> None:
    out, labels = finished_table
    # Costliest first.
    assert [label.split("-", 2)[2] for label in labels[:2]] == ["m64-seed0", "m64-noise0.5-seed0"]
    assert len(labels) == 5
    rows = {(64, 0.0), (16, 0.0), (4, 0.0), (1, 0.0), (64, 0.5)}
    assert {(record.m, record.noise) for record in records(out)} == rows
    for record in records(out):
        assert (record.preset, record.dataset, record.n, record.seed) == ("mini", "digits", 256, 0)
        assert [m.iteration for m in record.history] == [2, 4]
    assert len(list(out.glob("runs/*/log.txt"))) == 5
    assert set(contents(out)) == TABLE | {"index.html", "plan.json"}
    plan = json.loads((out / "plan.json").read_bytes())
    assert sorted(plan["runs"]) == sorted(f"runs/{p.name}" for p in (out / "runs").iterdir())
    assert plan["missing"] == []


def test_a_finished_table_starts_nothing(out: Path, table1: Command, started: list[str]) -> None:
    before = contents(out)
    answer = table1()
    assert (answer.status, answer.err) == (0, "")
    assert started == []
    assert contents(out)["table1.md"] == before["table1.md"]
    assert "wandb sync" not in answer.out
    (next(out.glob("runs/*")) / "wandb" / "offline-run-1").mkdir(parents=True)
    assert "wandb sync out/runs/*/wandb/offline-run-*" in table1().out


def test_only_the_missing_is_run(
    out: Path, table1: Command, started: list[str], here: Path
) -> None:
    (gone,) = out.glob("runs/digits-n256-m4-*")
    before = read_record(gone / "record.json")
    shutil.rmtree(gone)
    assert table1().status == 0
    assert started == ["digits-n256-m4-seed0"]
    assert read_record(gone / "record.json").metrics == before.metrics
    del started[:]
    # Other settings are other rows beside the old.
    (here / "one.yaml").write_text(SWEEP + "{config: {values: [n256]}}\n")
    assert table1("--sweep", "one.yaml", "--set", "model.optimizer.lr=0.1").status == 0
    assert started == ["digits-n256-m1-seed0"]
    assert len(records(out)) == 6
    assert len(json.loads((out / "plan.json").read_bytes())["runs"]) == 1


def test_a_noisy_row_takes_its_twin_s_end(here: Path, table1: Command, started: list[str]) -> None:
    (here / "two.yaml").write_text(SWEEP + "{config: {values: [n4-noise, n4]}}\n")
    rule = ("stop=true", "window=2", "threshold=0.9", "after=4")
    words = [word for setting in rule for word in ("--set", f"stop_rule.{setting}")]
    words += ["--sweep", "two.yaml", "--set", "trainer.max_steps=50"]
    assert table1(*words).status == 0
    assert started == ["digits-n256-m64-seed0", "digits-n256-m64-noise0.5-seed0"]
    by_noise = {record.noise: record for record in records(here / "out")}
    assert by_noise[0.0].converged
    assert by_noise[0.0].iterations == by_noise[0.5].iterations == 4
    assert table1(*words).status == 0
    assert len(started) == 2


def test_auto_is_paper_with_a_gpu(
    here: Path, ganstoch: Command, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    answer = ganstoch("table1", "--root", "nowhere")
    assert answer.out.startswith("preset paper")
    # Its data are not here: fifteen rows are named, and nothing is begun.
    names = [line.split("-")[0] for line in failed(answer)]
    assert names == [f"FAILED {name}" for name in ("svhn", "cifar10", "ffhq") for _ in range(5)]
    assert "n12800-m3200-" in failed(answer)[0]
    assert answer.complaint
    assert started == []
    assert list(here.iterdir()) == []


def test_rows_are_processes(here: Path, tiny_rows: Any, ganstoch: Command) -> None:
    noise = "model.latents.noise: {values: [0.0, -1.0]}"
    (here / "two.yaml").write_text(f"{SWEEP}{{config: {{value: n4}}, {noise}}}\n")
    words = ["--preset", "mini", "--sweep", "two.yaml", *tiny_rows, "--out", "out", "--jobs", "2"]
    answer = ganstoch("table1", *words)
    assert answer.status == 1
    (record,) = records(here / "out")
    assert (record.m, record.noise, record.iterations) == (64, 0.0, 4)
    (line,) = failed(answer)
    assert "model.latents.noise" in line
    (log,) = here.glob("out/runs/*noise-1*/log.txt")
    assert log.read_text().count("\n") == 1
    assert {path.name for path in log.parent.iterdir()} == {"log.txt"}


def test_remedies_on_the_ring(ring: Finished) -> None:
    out, status, printed, started = ring
    assert status == 0
    assert sorted(started) == [
        f"ring-n64-m16-bank-fresh{remedy}-seed{seed}"
        for remedy in ("-packing2+hinge", "")
        for seed in (0, 3)
    ]
    for record in records(out):
        assert [m.iteration for m in record.history] == [2, 3]
        assert record.metrics["modes/of"] == 8
        assert record.images_seen == 3 * 16
        for text in (printed, (out / "synthetic.md").read_text()):
            assert record.config["remedy"] in text
    assert set(contents(out)) == RING | {"index.html", "plan.json"}
    assert all((run / "trail.npz").exists() for run in (out / "runs").iterdir())


def test_every_remedy_meets_every_amount_of_chance(
    images: Finished, images_line: list[str], here: Path, ganstoch: Command, started: list[str]
) -> None:
    out, status, printed, first = images
    assert status == 1
    chance = ["m64", "m4", "m1", "m64-noise0.5"]
    assert sorted(first) == sorted(
        f"digits-n64-{each}{remedy}-seed0" for each in chance for remedy in ("", "-svre")
    )
    impossible = "digits-n64-m64-noise0.5-svre-seed0"
    (line,) = [each for each in printed.splitlines() if each.startswith("FAILED")]
    assert line.startswith(f"FAILED {impossible}: SVRE ")
    assert {(r.config["remedy"], r.m, r.noise) for r in records(out)} == {
        *(("plain", m, 0.0) for m in (64, 4, 1)),
        *(("svre", m, 0.0) for m in (64, 4, 1)),
        ("plain", 64, 0.5),
    }
    assert set(contents(out)) == IMAGES | {"index.html", "plan.json"}
    assert impossible in (out / "remedies.md").read_text()
    shutil.copytree(out, here / "out")
    assert ganstoch(*images_line, "--out", "out").status == 1
    assert started == [impossible]


def test_reports_need_records_alone(
    ring: Finished, images: Finished, finished_table: tuple[Path, list[str]], here: Path
) -> None:
    before = {}
    finished = {"ring": ring[0], "images": images[0], "table1": finished_table[0]}
    for name, folder in finished.items():
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

    def run(sweep: Sweep, options: Any, out: Path, write: str) -> int:
        runs.append((sweep, out))
        return 0

    monkeypatch.setattr(table, "_run", run)
    words = ["--preset", "small"] if synthetic is None else ["--synthetic", synthetic]
    assert ganstoch("remedies", *words).status == 0
    assert ganstoch("remedies", *words, "--out", "x", "--data", "stacked_fashion").status == 0
    (sweep, out), (again, elsewhere) = runs
    assert out == Path("runs") / (synthetic or "remedies-small")
    assert elsewhere == Path("x")
    assert sweep.parameters["remedy"][0] == "plain"  # what the others are held against
    assert "seed_everything" in sweep.parameters
    assert sweep.preset in packaged_names()
    assert again == sweep.with_values("data.source", ["StackedFashion"])


def test_a_report_is_where_the_runs_are(ring: Finished, here: Path, ganstoch: Command) -> None:
    line = ["remedies", "--synthetic", "ring", "--report"]
    assert "runs/ring" in ganstoch(*line).complaint
    shutil.copytree(ring[0], here / "runs" / "ring")
    assert "packing2+hinge" in ganstoch(*line).out
