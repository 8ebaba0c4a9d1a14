"""`ganstoch watch`: what it prints, its status, bad input, and how it follows a log."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ganstoch.cli import main
from ganstoch.watch.command import Watcher


def lines(d: float, g: float, steps: range) -> str:
    return "".join(f"step: {i} d_loss: {d + i % 3 / 1e4} g_loss: {g + i % 5 / 10}\n" for i in steps)


WON, EVEN = lines(0.002, 8, range(100)), lines(1.1, 1, range(100))
CRITIC = lines(-1, 3, range(100))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "train.log"


def asked(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    """Status and object of the command with --json."""
    status = main(["watch", *map(str, words), "--json"])
    text = capsys.readouterr().out
    return status, json.loads(text) if text else None


def test_one_object_with_what_it_rests_on(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fid = "".join(f"step: {i} fid: {100 - i if i < 40 else 160}\n" for i in range(0, 100, 5))
    log.write_text(WON + fid)
    status, content = asked(capsys, log)
    assert status == 0
    assert content["verdict"] == "diverged"
    assert content["basis"] == "fid"
    assert content["since_step"] == 40
    assert content["best_step"] == 35
    assert content["after_best"] == pytest.approx(1 - 35 / 95, abs=1e-3)
    assert 0 < content["sure"] <= 1
    assert content["columns"] == {"loss_d": "d_loss", "loss_g": "g_loss", "fid": "fid"}
    assert [other["verdict"] for other in content["others"]] == ["discriminator_dominates"]
    assert not any(missing.startswith("fid") for missing in content["missing"])
    assert any("recall" in missing for missing in content["missing"])


def test_a_good_score_overrules_a_low_loss_until_the_loss_is_newer(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fid = "".join(f"step: {i} fid: {100 - i}\n" for i in range(0, 100, 5))
    log.write_text(WON + fid)
    assert asked(capsys, log)[1]["verdict"] == "healthy"
    later = fid + lines(1.1, 1, range(100)) + lines(0.002, 8, range(100, 200))
    log.write_text(later)
    assert asked(capsys, log)[1]["verdict"] in ("diverged", "discriminator_dominates")


@pytest.mark.parametrize(
    ("text", "status"), [(EVEN, 0), (WON, 1), (CRITIC, 3)], ids=["holds", "fails", "cannot tell"]
)
def test_the_gate(log: Path, text: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(text)
    assert asked(capsys, log, "--fail-on", "discriminator_dominates,diverged")[0] == status
    assert asked(capsys, log)[0] == 0


def test_the_gravest_of_a_folders_logs_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("a", EVEN), ("b", WON), ("c", CRITIC), ("d", "hello\n")):
        (tmp_path / f"{name}.log").write_text(text)
    content = asked(capsys, tmp_path)[1]
    assert content["log"].endswith("b.log")
    assert [Path(other["log"]).name for other in content["logs"]] == ["c.log", "a.log"]
    assert main(["watch", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.split("\n\n")) == 3


def test_columns_that_are_stated(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(WON.replace("d_loss", "alpha").replace("g_loss", "beta").replace("step", "at"))
    assert main(["watch", str(log)]) == 2
    assert "alpha" in capsys.readouterr().err
    words = [
        word for pair in ("d_loss=alpha", "g_loss=beta", "step=at") for word in ("--map", pair)
    ]
    content = asked(capsys, log, *words)[1]
    assert content["verdict"] == "discriminator_dominates"
    assert content["last_step"] == 99
    assert main(["watch", str(log), "--map", "d_loss=gamma"]) == 2
    log.write_text(WON)
    for role in ("fid", "step"):
        content = asked(capsys, log, "--map", f"{role}=gamma")[1]
        assert any("gamma" in note for note in content["notes"])


def test_a_nan_that_stays_is_a_finding_and_one_that_passes_a_note(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nan = "step: 100 d_loss: nan g_loss: 1\n"
    log.write_text(EVEN + nan)
    content = asked(capsys, log)[1]
    assert (content["verdict"], content["since_step"]) == ("non_finite", 100)
    log.write_text(EVEN + nan + lines(1.1, 1, range(101, 120)))
    content = asked(capsys, log)[1]
    assert content["verdict"] == "healthy"
    assert content["notes"]


def test_runs_that_begin_again_are_noted(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(WON + EVEN)
    content = asked(capsys, log)[1]
    assert content["verdict"] == "healthy"
    assert content["notes"]


@pytest.mark.parametrize("content", [b"", b"\0\1" * 99, b"hello\n", b"a,b\n1,2\n"])
@pytest.mark.parametrize("name", ["x.log", "x.csv", "x.jsonl", "x.json", "x.wandb", "x.db"])
def test_what_is_no_log_is_status_2_in_one_line(
    tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        assert main(["watch", str(path)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    ["--fail-on nonsense", "--on nonsense true", "--on diverged no-such-program-x", "--map x=y"],
)
def test_wrong_options_are_told_before_anything_is_read(log: Path, words: str) -> None:
    log.write_text(EVEN)
    assert main(["watch", str(log), *words.split()]) == 2
    assert main(["watch", str(log / "nowhere")]) == 2


def test_signals_of_our_own_diagnosis_are_judged_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "step,diagnosis/diversity,diagnosis/isolation,diagnosis/drift,diagnosis/sensitivity\n"
    rows = [
        f"{25 * i},{1.0 if i < 10 else 0.001},{1.0 if i < 10 else 0.0},0.3,0.5" for i in range(20)
    ]
    (tmp_path / "metrics.csv").write_text(header + "\n".join(rows) + "\n")
    content = asked(capsys, tmp_path)[1]
    assert content["verdict"] == "complete_collapse"
    assert content["since_step"] == 250


def test_a_command_is_run_through_an_argument_list(log: Path, tmp_path: Path) -> None:
    log.write_text(WON)
    place = tmp_path / "a b; $(touch c)"
    assert main(["watch", str(log), "--on", "discriminator_dominates", f"touch '{place}'"]) == 0
    assert place.exists()
    assert not (tmp_path / "c").exists()
    never = tmp_path / "never"
    assert main(["watch", str(log), "--on", "collapse", f"touch {never}"]) == 0
    assert main(["watch", str(log), "--on", "discriminator_dominates", "false"]) == 0
    assert not never.exists()


@contextmanager
def following(*words: object) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    words = (sys.executable, "-m", "ganstoch.cli", "watch", *words, "--follow", "--json")
    process = subprocess.Popen(
        [*map(str, words)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    verdict: str = json.loads(process.stdout.readline())["verdict"]
    return verdict


def test_it_follows_a_log_tells_each_change_acts_once_and_ends_at_interrupt(
    log: Path, tmp_path: Path
) -> None:
    log.write_text(EVEN)
    place = tmp_path / "done"
    write = f"{sys.executable} -c \"open('{place}', 'a').write('x')\""
    with following(log, "--on", "discriminator_dominates,diverged", write) as process:
        assert heard(process) == "healthy"
        with log.open("a") as file:
            file.write(lines(0.002, 8, range(100, 300)) + "step: 300 d_lo")  # a line half written
        assert heard(process) in ("discriminator_dominates", "diverged")
        deadline = time.monotonic() + 60
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert place.read_text() == "x"


def test_a_log_that_was_empty_at_first_is_judged_once_and_a_log_that_is_gone_no_more(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "a.log", tmp_path / "b.log"
    path.touch()
    other.write_text(EVEN)
    watcher = Watcher(tmp_path, {}, follows=True)
    watcher.look()
    path.write_text("".join(f'{{"step": {i}, "d_loss": 1, "g_loss": 1}}\n' for i in range(20)))
    watcher.look()
    other.unlink()
    judged = [watcher.look() for _ in range(4)][-1]
    assert [(one.log.path, one.log.kind) for one in judged] == [(path, "JSON lines")]


def test_it_waits_for_a_log_that_is_not_there_yet_and_ends_where_it_fails(tmp_path: Path) -> None:
    with following(tmp_path, "--fail-on", "non_finite") as process:
        time.sleep(0.5)
        (tmp_path / "late.csv").write_text("step,d_loss,g_loss\n1,nan,1\n")
        assert heard(process) == "non_finite"
        assert process.wait(60) == 1
