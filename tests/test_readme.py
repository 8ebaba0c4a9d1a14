"""Every command and every program of the README runs, on little data and for a step or two."""

from __future__ import annotations

import pickle
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganstoch.bench.goals import Scale
from ganstoch.cli import main
from ganstoch.metrics.weights import INCEPTION_URL
from ganstoch.runs.cases import CASES
from ganstoch.runs.configs import packaged_names, sweep_path
from ganstoch.runs.fit import fit
from ganstoch.runs.plan import plan
from ganstoch.runs.pool import Row
from ganstoch.runs.sweep import read_sweep

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
N = 256

SMALL = {
    "trainer.max_steps": "2",
    "evaluation.every": "1",
    "evaluation.semantic_every": "null",
    "model.generator.init_args.width": "16",
    "model.discriminator.init_args.width": "16",
    "data.n": str(N),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the data sets that the README speaks of, at their smallest."""
    rng = np.random.default_rng(0)
    cifar = tmp_path / "data" / "cifar-10-batches-py"
    cifar.mkdir(parents=True)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels = rng.integers(0, 256, (60, 3072), dtype=np.uint8)
        batch = {"data": pixels, "labels": [0] * 60}
        (cifar / name).write_bytes(pickle.dumps(batch, protocol=2))
    (cifar / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *args: True)
    for name, count in {"photos": N, "made": 100, "unseen": 100}.items():
        folder = tmp_path / name
        folder.mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                folder / f"{i:03}.png"
            )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    return tmp_path


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a table's rows one after the other in this process, which saves their start-up."""

    def run_rows(
        rows: Sequence[Row], *, parallel: int, start: object, say: Callable[[str], None]
    ) -> None:
        for row in rows:
            fit([*row.arguments, f"--out={row.folder}", "--quiet=true"])
            row.finished = True

    monkeypatch.setattr("ganstoch.runs.pool.run_rows", run_rows)


def run(words: list[str]) -> int:
    """A `ganstoch` command with the settings that make it small."""
    if words[0] == "fit" and "--print_config" not in words:
        return main([*words, *(f"--{key}={value}" for key, value in SMALL.items())])
    if words[0] in ("table1", "remedies") and "--report" not in words:
        few = SMALL | ({"data.n": "600"} if "--synthetic" in words else {})  # a batch may have 512
        return main([*words, *(w for key in few for w in ("--set", f"{key}={few[key]}"))])
    return main(words)


def test_there_are_commands() -> None:
    assert commands()[:2] == ["make table1", "make test"]
    assert len(blocks("python")) == 3


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("ganstoch")])
def test_command(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)[1:]
    if words[0] == "prepare":
        words += [] if words[1] == "inception" else ["--n", "100"]

        def download(url: str, to: str, **options: object) -> None:
            assert url == INCEPTION_URL
            Path(to).write_bytes(b"")

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    if words[0] == "cases":
        few = tuple(replace(case, iterations=25) for case in CASES[:2])
        monkeypatch.setattr("ganstoch.runs.cases.CASES", few)
    if words[0] == "bench":
        monkeypatch.setattr("ganstoch.bench.report.QUICK", Scale(16, 4, 8, (4, 8), (16,), 1, 64, 8))
        words = ["mini" if word == "paper" else word for word in words]
    if "--report" in words:
        assert run(["table1", "--preset", "mini"]) == 0
    if words[0] == "verify":
        assert run(["fit", "--config", "mini", "--out", words[1]]) == 0
        monkeypatch.setattr(
            "ganstoch.runs.verify._fit", lambda words, *, threads: main(["fit", *words])
        )
    if "--print_config" in words:
        with pytest.raises(SystemExit, match="0"):
            run(words)
        assert "max_steps" in capsys.readouterr().out
    else:
        assert run(words) == 0, capsys.readouterr().err
    if words[0] == "fit" and "--print_config" not in words:
        seeds = words[words.index("--seeds") + 1].split(",") if "--seeds" in words else ["0"]
        assert len(list(here.glob("runs/*/record.json"))) == len(seeds)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_make(command: str) -> None:
    done = subprocess.run(
        [*shlex.split(command), "-n", "-C", str(ROOT)], capture_output=True, text=True, check=True
    )
    target = shlex.split(command)[1]
    expected = {
        "table1": "ganstoch table1",
        "remedies": "ganstoch remedies",
        "bench": "ganstoch bench --quick",
    }
    assert expected.get(target, "pytest") in done.stdout


@pytest.mark.usefixtures("in_process")
def test_make_with_photos(here: Path) -> None:
    """What `make table1 PRESET=small DATA=folder ROOT=photos` hands on."""
    words = ["table1", "--preset", "small", "--data", "folder", "--root", "photos", "--out", "x"]
    assert run(words) == 0
    assert len(list(here.glob("x/runs/*/record.json"))) == 5


def test_commands_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those between backticks, which made the tables: every row of theirs is understood."""
    found = re.findall(r"`ganstoch (table1 [^`]+)`", README.replace("\n", " "))
    asked = []
    monkeypatch.setattr(
        "ganstoch.runs.table.table1", lambda options, sweep: asked.append((options, sweep)) or 0
    )
    for command in found:
        assert main(shlex.split(command)) == 0
    rows = []
    for options, name in asked:
        sweep = read_sweep(sweep_path(name))
        sweep = replace(sweep, preset=options.preset).with_values("data.source", None)
        rows.append(len(plan(sweep, out=tmp_path, settings=options.settings)))
    assert rows == [5, 5, 5, 5]


def test_wandb() -> None:
    words = shlex.split(next(c for c in commands() if c.startswith("wandb")))
    assert words[:2] == ["wandb", "sweep"]
    assert read_sweep(ROOT / words[2]) == read_sweep(sweep_path(Path(words[2]).stem))


def test_every_command_is_of_a_kind_that_is_tested() -> None:
    assert {command.split()[0] for command in commands()} == {"make", "ganstoch", "wandb"}


def programs(first_line: str) -> str:
    """The program of the README that begins with a line."""
    return next(block for block in blocks("python") if block.startswith(first_line))


def test_program_of_the_metric() -> None:
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    names = {"training_images": images, "generated_images": images.flip(0)}
    exec(programs("from ganstoch.metrics"), names)
    metric = names["metric"]
    assert metric.compute()["overfitting/pixel_l1/mean"] == 0.0  # type: ignore[operator]


def test_program_of_the_callbacks() -> None:
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    names: dict[str, object] = {"training_images": images, "test_images": images, "Trainer": dict}
    exec(programs("from ganstoch.callbacks"), names)
    trainer = names["trainer"]
    assert isinstance(trainer, dict)
    kinds = [type(callback).__name__ for callback in trainer["callbacks"]]
    assert kinds == ["Diagnosis", "NeighbourMonitor"]


def test_program_of_the_audit() -> None:
    images = torch.randint(0, 256, (200, 3, 32, 32), dtype=torch.uint8)
    names: dict[str, object] = {"training_images": images, "generated_images": images[:80]}
    exec(programs("import ganstoch"), names)
    report = names["report"]
    assert report.verdict == "copies"  # type: ignore[attr-defined]
    assert report.copied_share.estimate > 0.9  # type: ignore[attr-defined]


def test_links_and_pictures_are_here() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    for target in targets:
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_map_of_the_code_names_every_room() -> None:
    rooms = {path.name for path in (ROOT / "ganstoch").iterdir() if not path.name.startswith("_")}
    table = README.split("## Map of the code")[1].split("\n## ")[0]
    named = {word.rstrip("/") for word in re.findall(r"`([a-z_]+(?:\.py|/))`", table)}
    files = {"game.py", "match.py", "exact_batch.py", "ensemble.py", "ranks.py", "__init__.py"}
    assert named - files == rooms - {"py.typed"}


def test_presets_and_data_sets_are_named() -> None:
    for name in packaged_names():
        assert f"`{name}`" in README or name.startswith(("m", "full")), name
