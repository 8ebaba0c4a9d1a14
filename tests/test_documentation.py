"""README and docs: every command is understood, every program runs, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganstoch import cli
from ganstoch.runs import table
from ganstoch.runs.plan import plan
from ganstoch.runs.sweep import read_sweep
from ganstoch.types import to_signed

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ganstoch"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", flags=re.M | re.S)
    return [block for page in PAGES for block in pattern.findall(page.read_text())]


COMMANDS = sorted({line for block in blocks("sh") for line in block.splitlines() if line.strip()})


def of(program: str) -> list[str]:
    return [command for command in COMMANDS if command.split()[0] == program]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the folders that the commands name."""
    rng = np.random.default_rng(0)
    for name in ("photos", "made", "unseen", "cifar10"):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(100):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:03}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("command", of("ganstoch"))
def test_command_is_understood(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings of every row are checked as `fit` checks them; nothing is trained."""
    name, *words = shlex.split(command)[1:]
    if name == "fit":
        with pytest.raises(SystemExit) as end:
            cli.main([name, *words, "--print_config"])
        assert end.value.code == 0
        assert "max_steps" in capsys.readouterr().out
        return
    ran = []
    if name in ("table1", "remedies"):

        def plan_only(sweep: object, options: Any, out: Path, write: object) -> int:
            rows = plan(sweep, out=out, root=options.root, settings=options.set)  # type: ignore[arg-type]
            ran.append([row.label for row in rows])
            return 0

        monkeypatch.setattr(table, "_run", plan_only)
        monkeypatch.setattr(table, "_report", lambda *_: ran.append("report") or 0)
    else:
        told = cli._COMMANDS[name]._replace(run=lambda options: ran.append(options) or 0)
        monkeypatch.setitem(cli._COMMANDS, name, told)
    assert cli.main([name, *words]) == 0
    assert ran
    assert ran[0]


@pytest.mark.parametrize("command", of("make"))
def test_make_target_exists(command: str) -> None:
    words = [*shlex.split(command), "-n", "-C", str(ROOT)]
    subprocess.run(words, capture_output=True, check=True)


def test_wandb_sweep_is_that_of_the_package() -> None:
    for command in of("wandb"):
        file = ROOT / shlex.split(command)[-1]
        assert read_sweep(file) == read_sweep(PACKAGE / "sweeps" / file.name)


def test_every_command_is_of_a_kind_that_is_tested() -> None:
    assert {command.split()[0] for command in COMMANDS} == {"make", "ganstoch", "wandb"}


def test_programs_run(here: Path) -> None:
    """Of callbacks, monitor, audit and metric, on images of which the generated are copies."""
    images, others = torch.randint(0, 256, (2, 200, 3, 8, 8), dtype=torch.uint8)
    names: dict[str, object] = {
        "training_images": images,
        "test_images": others,
        "generated_images": images[:80],
        "Trainer": dict,
        "steps": 501,
        "noise": lambda n: images[:n],
        "G": to_signed,
        **dict.fromkeys(("loss_d", "loss_g", "r", "f"), torch.ones(8)),
    }
    programs = [block for block in blocks("python") if "trainer.fit" not in block]
    for program in programs:
        exec(program, names)
    assert names["report"].verdict == "memorization"  # type: ignore[attr-defined]
    assert names["metric"].compute()["overfitting/pixel_l1/mean"] == 0.0  # type: ignore[attr-defined]
    assert len(names["trainer"]["callbacks"]) == 2  # type: ignore[index]
    assert names["monitor"].verdict == "memorization"  # type: ignore[attr-defined]
    assert Path("diagnosis.html").exists()


def test_program_that_trains(here: Path) -> None:
    (program,) = [block for block in blocks("python") if "trainer.fit" in block]
    names: dict[str, object] = {}
    with warnings.catch_warnings(action="ignore"):  # Lightning's, about loggers and eval mode
        exec(program.replace("max_steps=2500", "max_steps=2"), names)
    assert names["images"].shape[0] == 256  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_here(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([a-z0-9_]+\.md)\)", README.read_text()))
    assert linked == {page.name for page in PAGES if page != README}


def section(title: str) -> str:
    return README.read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def test_map_of_the_code_names_every_room() -> None:
    hidden = {"__pycache__", "__init__.py", "__init__.pyi", "py.typed"}
    rooms = {path.name for path in PACKAGE.iterdir()} - hidden
    table_of_rooms = [line for line in section("Map of the code").splitlines() if "|" in line]
    first = [line.split("|")[1] for line in table_of_rooms]
    named = {word.rstrip("/") for cell in first for word in re.findall(r"`([a-z_.]+/?)`", cell)}
    assert named == rooms


TRACER = """
import sys
from pathlib import Path
package, *journey = sys.argv[1:]
calls = []
def called(frame, event, argument):
    if event == "call":
        file = frame.f_code.co_filename.removeprefix(package + "/")
        name = f"{file}:{frame.f_code.co_name}"
        if name in journey:
            calls.append(name)
from ganstoch.cli import main
sys.setprofile(called)
status = main(["fit", "--config", "mini", "--trainer.max_steps", "1", "--out", "run",
               "--wandb.mode", "disabled", "--evaluation.every", "1"])
sys.setprofile(None)
Path("calls.txt").write_text("\\n".join(calls))
sys.exit(status)
"""


def test_the_batch_takes_the_journey_that_the_map_names(here: Path) -> None:
    """The functions that the README names are called one after the other."""
    named = re.findall(r"`([a-z_/0-9]+\.py:\w+)`", section("Map of the code"))
    journey = [name for name in named if not name.startswith("report/")]
    assert len(journey) >= 6
    words = [sys.executable, "-c", TRACER, str(PACKAGE), *journey]
    subprocess.run(words, cwd=here, check=True, capture_output=True)
    calls = iter((here / "calls.txt").read_text().splitlines())
    assert [name for name in journey if name not in calls] == []  # each behind the one before
