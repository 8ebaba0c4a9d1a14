"""`ganstoch audit` as a user meets it: verdicts from folders, one line for every mistake."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch

from ganstoch.auditing.command import parse_memory
from ganstoch.auditing.output import terminal
from ganstoch.auditing.report import AuditReport, Verdict
from ganstoch.cli import main
from ganstoch.errors import UserError


class Answer(NamedTuple):
    """What a command said."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path) -> Any:
    """Runs `ganstoch audit` in a folder and with a cache of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words: object) -> Answer:
        capsys.readouterr()
        status = main(["audit", *map(str, words)])
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture
def small(split: Any, folder: Any) -> tuple[Path, Path]:
    """Folders of 60 real and 40 generated images."""
    digits = split(train=60, fresh=40, held_out=40)
    return folder("train", digits.train), folder("made", digits.fresh)


def test_what_a_person_sees(
    small: tuple[Path, Path], run: Callable[..., Answer], tmp_path: Path
) -> None:
    answer = run("--real", small[0], "--generated", small[1], "--out", tmp_path / "out")
    assert answer.status == 0
    first, *_, last = answer.out.splitlines()
    assert first.startswith("NO ISSUE: ")
    assert last == str(tmp_path / "out" / "report.html")
    assert sorted(os.listdir(tmp_path / "out")) == [
        "generated.csv",
        "missed.csv",
        "report.html",
        "report.json",
    ]
    assert max(map(len, answer.out.splitlines()[:-1])) <= 100
    report = AuditReport.model_validate_json((tmp_path / "out" / "report.json").read_text())
    assert answer.out.startswith(terminal(report))
    assert f"{report.metrics['prdc/pixel_l1/recall'].value:.3f}" in answer.out


@pytest.mark.parametrize("out", [True, False])
def test_json_alone_on_standard_output(out: bool, small: tuple[Path, Path], run: Any) -> None:
    more = ["--out", "out"] if out else []
    answer = run("--real", small[0], "--generated", small[1], "--json", "--quiet", *more)
    assert answer.err == ""
    if out:
        assert answer.out == Path("out", "report.json").read_text()
    else:
        assert json.loads(answer.out)["verdict"] == "no_issue"
        assert not list(Path().rglob("report.json"))


def test_overwrites_its_own_report_and_nothing_else(
    small: tuple[Path, Path], run: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("--real", small[0], "--generated", small[1], "--out", out, "--quiet")
    assert run(*words).status == 0
    (out / "notes.txt").write_text("mine")
    assert run(*words, "--seed", 1).status == 0
    assert json.loads((out / "report.json").read_text())["settings"]["seed"] == 1
    assert (out / "notes.txt").read_text() == "mine"
    (out / "report.json").write_text('{"schema": 99}')
    before = (out / "report.html").read_bytes()
    answer = run(*words)
    assert answer.status == 2
    assert "another --out" in answer.err
    assert (out / "report.html").read_bytes() == before
    (out / "report.json").unlink()
    assert "no audit has written" in run(*words).err


def test_resize_makes_sizes_alike(small: tuple[Path, Path], run: Any, tmp_path: Path) -> None:
    larger = np.zeros((40, 16, 16), np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None]
    np.save(tmp_path / "larger.npy", larger[:, None])
    words = ("--real", small[0], "--generated", tmp_path / "larger.npy", "--json", "--quiet")
    assert "--resize 8" in run(*words).err
    report = json.loads(run(*words, "--resize", 4).out)
    assert report["sets"]["generated"]["shape"] == [1, 4, 4]
    assert report["settings"]["resize"] == 4


def test_no_cache_keeps_nothing(small: tuple[Path, Path], run: Any, tmp_path: Path) -> None:
    words = ("--real", small[0], "--generated", small[1], "--json", "--quiet")
    least = run(*words, "--memory", "1").err.split("--memory ")[1].split()[0]
    assert run(*words, "--memory", least, "--no-cache").status == 0
    assert not (tmp_path / "cache").exists()


SETS = ["--real", "train", "--generated", "made"]
BAD: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "--real"),
    "no generated": (["--real", "train"], "--generated"),
    "no such folder": (["--real", "no", "--generated", "made"], "--real"),
    "a space": ([*SETS, "--features", "pixel,vgg"], "'vgg'"),
    "no space": ([*SETS, "--features", ","], "--features"),
    "little memory": ([*SETS, "--memory", "1KiB"], "--memory 1"),
    "no memory": ([*SETS, "--memory", "much"], "'much'"),
    "memory without end": (["--memory", "9" * 400], "--memory"),
    "size": ([*SETS, "--resize", "0"], "--resize"),
    "held out": ([*SETS, "--held-out", "train"], "--held-out"),
    "two subjects": (["--generated", "made", "--checkpoint", "x.ckpt"], "--checkpoint"),
    "no checkpoint": (["--checkpoint", "x.ckpt"], "x.ckpt"),
    "an empty path": (["--real", "", "--generated", "made"], "--real"),
    "an empty folder for the report": ([*SETS, "--out="], "--out"),
    "latents": ([*SETS, "--latents", "bank"], "--checkpoint"),
    "a file": ([*SETS, "--out", "train/0000.png"], "--out"),
    "below a file": ([*SETS, "--out", "train/0000.png/x"], "--out"),
    "an unknown word": (["--reel", "train"], "--reel"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes(case: str, small: tuple[Path, Path], run: Any, tmp_path: Path) -> None:
    words, key = BAD[case]
    before = sorted(tmp_path.rglob("*"))
    answer = run(*words)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert key in answer.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written_to(
    small: tuple[Path, Path], run: Any, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    answer = run("--real", small[0], "--generated", small[1], "--out", closed / "out")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "may not write" in answer.err


def test_a_full_disk_leaves_no_report(
    small: tuple[Path, Path], run: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganstoch.records.os.replace", full)
    answer = run("--real", small[0], "--generated", small[1], "--out", "out", "--quiet")
    assert answer.status == 2
    assert "No space left on device" in answer.err
    assert list((tmp_path / "out").iterdir()) == []


def test_help_names_the_verdicts(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in get_args(Verdict):
        assert word in text


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2**31), ("1.5g", 3 * 2**29), ("800 MB", 800 * 2**20), ("4096", 4096), ("1k", 1024)],
)
def test_memory_in_words(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1GiB", "GiB", "2 GiB free", "1e9"])
def test_memory_that_is_none(text: str) -> None:
    with pytest.raises(UserError, match="--memory must be a size"):
        parse_memory(text)


def test_an_archive_of_arrays(split: Any, run: Any, tmp_path: Path) -> None:
    digits = split(train=60, fresh=40, held_out=40)
    np.savez(tmp_path / "train.npz", images=digits.train.numpy())
    torch.save(digits.fresh, tmp_path / "made.pt")
    answer = run("--real", "train.npz", "--generated", "made.pt", "--json", "--quiet")
    assert json.loads(answer.out)["sets"]["generated"]["where"] == "made.pt"
    assert io.StringIO(answer.out).readline() == "{\n"
