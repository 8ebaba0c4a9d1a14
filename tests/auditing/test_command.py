"""`ganstoch audit` as a user meets it: verdicts from folders, one line for every mistake."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ganstoch.auditing.command import parse_memory
from ganstoch.auditing.output import terminal
from ganstoch.auditing.report import AuditReport
from ganstoch.cli import main
from ganstoch.errors import UserError

SETS = ("--real", "train", "--generated", "made")


class Answer(NamedTuple):
    """What a command said."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(
    split: Any, folder: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path
) -> Callable[..., Answer]:
    """Runs `ganstoch audit` beside folders of 60 real and 40 generated images."""
    digits = split(train=60, fresh=40, held_out=40)
    folder("train", digits.train)
    folder("made", digits.fresh)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words: object) -> Answer:
        capsys.readouterr()
        status = main(["audit", *map(str, words)])
        return Answer(status, *capsys.readouterr())

    return run


def test_what_a_person_sees(run: Any) -> None:
    answer = run(*SETS, "--out", "out")
    assert answer.status == 0
    assert answer.out.startswith("NO ISSUE: ")
    *lines, last = answer.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert last == "out/report.html"
    assert set(os.listdir("out")) == {"generated.csv", "missed.csv", "report.html", "report.json"}
    report = AuditReport.model_validate_json(Path("out", "report.json").read_text())
    assert answer.out.startswith(terminal(report))
    assert f"{report.metrics['prdc/pixel_l1/recall'].value:.3f}" in answer.out


def test_json_alone_on_standard_output(run: Any) -> None:
    answer = run(*SETS, "--json", "--quiet")
    assert answer.err == ""
    assert json.loads(answer.out)["verdict"] == "no_issue"
    assert not list(Path().rglob("report.json"))
    answer = run(*SETS, "--json", "--quiet", "--out", "out")
    assert answer.err == ""
    assert answer.out == Path("out", "report.json").read_text()


def test_overwrites_its_own_report_and_nothing_else(run: Any) -> None:
    words, out = (*SETS, "--out", "out", "--quiet"), Path("out")
    assert run(*words).status == 0
    (out / "notes.txt").write_text("mine")
    assert run(*words, "--seed", 1).status == 0
    assert json.loads((out / "report.json").read_text())["settings"]["seed"] == 1
    assert (out / "notes.txt").read_text() == "mine"
    before = (out / "report.html").read_bytes()
    (out / "report.json").write_text('{"schema": 99}')
    assert "another --out" in run(*words).err
    (out / "report.json").unlink()
    assert "another --out" in run(*words).err
    assert (out / "report.html").read_bytes() == before


def test_resize_makes_sizes_alike(run: Any) -> None:
    larger = np.zeros((40, 16, 16), np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None]
    np.save("larger.npy", larger[:, None])
    words = ("--real", "train", "--generated", "larger.npy", "--json", "--quiet")
    assert "--resize 8" in run(*words).err
    report = json.loads(run(*words, "--resize", 4).out)
    assert report["sets"]["generated"]["shape"] == [1, 4, 4]
    assert report["settings"]["resize"] == 4


def test_what_fits_no_memory_is_kept_but_by_no_cache(run: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (260, 1, 64, 64), dtype=np.uint8)
    np.save("real.npy", images[:200])
    np.save("made.npy", images[200:])
    words = ("--real", "real.npy", "--generated", "made.npy", "--json", "--quiet")
    least = run(*words, "--memory", "1").err.split("--memory ")[1].split()[0]
    uncached = run(*words, "--memory", least, "--no-cache")
    assert not Path("cache").exists()
    cached = run(*words, "--memory", least)
    assert len(list(Path("cache/ganstoch/features").glob("*.npy"))) == 1
    assert json.loads(cached.out)["metrics"] == json.loads(uncached.out)["metrics"]


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "--real"),
    "no generated": (("--real", "train"), "--generated"),
    "no such folder": (("--real", "no", "--generated", "made"), "--real"),
    "a space": ((*SETS, "--features", "pixel,vgg"), "'vgg'"),
    "twice": ((*SETS, "--features", "pixel,pixel"), "pixel"),
    "no space": ((*SETS, "--features", ","), "--features"),
    "little memory": ((*SETS, "--memory", "1KiB"), "--memory 1"),
    "no memory": ((*SETS, "--memory", "much"), "'much'"),
    "size": ((*SETS, "--resize", "0"), "--resize"),
    "held out": ((*SETS, "--held-out", "train"), "--held-out"),
    "two subjects": (("--generated", "made", "--checkpoint", "x.ckpt"), "--checkpoint"),
    "no checkpoint": (("--checkpoint", "x.ckpt"), "x.ckpt"),
    "an empty path": (("--real", "", "--generated", "made"), "--real"),
    "an empty folder for the report": ((*SETS, "--out="), "--out"),
    "latents": ((*SETS, "--latents", "bank"), "--checkpoint"),
    "a file": ((*SETS, "--out", "train/0000.png"), "--out"),
    "below a file": ((*SETS, "--out", "train/0000.png/x"), "--out"),
    "an unknown word": (("--reel", "train"), "--reel"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes(case: str, run: Any, tmp_path: Path) -> None:
    words, key = BAD[case]
    before = sorted(tmp_path.rglob("*"))
    answer = run(*words)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert key in answer.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_leaves_no_report(run: Any, monkeypatch: Any, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganstoch.records.os.replace", full)
    answer = run(*SETS, "--out", "out", "--quiet")
    assert answer.status == 2
    assert "No space left on device" in answer.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written_to(run: Any) -> None:
    Path("closed").mkdir(mode=0o500)
    answer = run(*SETS, "--out", "closed/out")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "closed" in answer.err


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2**31), ("1.5g", 3 * 2**29), ("800 MB", 800 * 2**20), ("4096", 4096), ("1k", 1024)],
)
def test_memory_in_words(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1GiB", "GiB", "2 GiB free", "1e9", "9" * 400])
def test_memory_that_is_none(text: str) -> None:
    with pytest.raises(UserError, match="--memory"):
        parse_memory(text)


@pytest.mark.parametrize("space", ["onnx:gone", "torchscript:gone", "timm:test_vit:gone"])
def test_a_network_that_is_not_there(space: str, run: Any) -> None:
    answer = run(*SETS, "--features", space)
    assert answer.status == 2
    assert "gone" in answer.err


def test_names_that_are_no_text(run: Any, tmp_path: Path) -> None:
    """Bytes of a name that are no UTF-8, in folders, files, classes and the report's place."""
    for i, path in enumerate(sorted(Path("made").iterdir())):
        folder = Path(f"made/{'ab'[i % 2]}\udcff")
        folder.mkdir(exist_ok=True)
        path.rename(folder / f"\udcfe{path.name}")
    Path("made").rename("made\udcff")
    answer = run("--real", "train", "--generated", "made\udcff", "--out", "out\udcff")
    assert (answer.status, len(os.listdir("out\udcff"))) == (0, 4)
    assert run("--generated", "train", "--real", "made\udcff", "--out", "out").status == 0


def test_a_terminal_without_the_characters(run: Any, tmp_path: Path) -> None:
    words = ["--max-copied", "0.9", "--out", "out"]
    command = [sys.executable, "-m", "ganstoch.cli", "audit", *SETS, *words]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0


@pytest.mark.parametrize("word", ["&x", "null", "[a]", "1e3", "yes", "{a: 1}", "*x"])
def test_places_are_taken_as_they_are_written(run: Any, word: str) -> None:
    os.rename("made", word)
    answer = run("--real", "train", "--generated", word, "--out", f"out{word}", "--quiet")
    assert (answer.status, answer.err) == (0, "")
    for option in ("--held-out", "--features"):
        answer = run(*SETS[:3], word, option, word)
        assert answer.status == 2
        assert word in answer.err
