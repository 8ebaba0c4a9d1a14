"""The outer command line; what the commands do is tested in the rooms that do it."""

import errno
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from ganstoch import __version__
from ganstoch.cli import main
from ganstoch.errors import UserError

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]
COMMANDS = (
    *("fit", "table1", "remedies", "verify", "prepare", "audit", "bench", "cases", "watch"),
    *("diagnose", "doctor"),
)


def outcome(*words: str) -> int:
    """The status of a command, however it ends."""
    try:
        return main(list(words))
    except SystemExit as error:
        return int(error.code or 0)


def test_help_names_every_command_and_our_keys(capsys: Capture) -> None:
    assert outcome("--help") == 0
    out = capsys.readouterr().out
    pages = {}
    for command in COMMANDS:
        assert f"\n    {command} " in out
        assert outcome(command, "--help") == 0
        pages[command] = capsys.readouterr().out
        assert pages[command].startswith(f"usage: ganstoch {command}")
    for key in ("--data.m", "--model.latents.noise", "--evaluation.every", "--trainer.max_steps"):
        assert f"{key} " in pages["fit"]
    assert outcome("fit", "--config", "mini", "--config", "n16", "--print_config") == 0
    out = capsys.readouterr().out
    for line in ("preset: mini", "  m: n/16", "  n: 256", "    bank: n", "seed_everything: 0"):
        assert f"\n{line}\n" in f"\n{out}"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("", COMMANDS),
        ("nonsense", ["nonsense", *COMMANDS]),
        ("table1 --nonsense", ["--nonsense"]),
        ("table1 --preset foo", ["--preset", "foo", "mini"]),
        ("table1 --out=", ["--out"]),
        ("remedies --synthetic moon", ["--synthetic", "moon", "ring", "stacked"]),
        ("remedies --sweep ring", ["--sweep"]),
        ("prepare", ["name"]),
        ("prepare foo", ["'foo'", "cifar10"]),
        ("prepare digits --n 1798", ["--n", "1797", "1798"]),
        ("prepare folder --root nowhere", ["nowhere"]),
        ("cases --report", ["runs/cases"]),
        ("cases --jobs -1", ["jobs"]),
        ("doctor --preset auto", ["--preset", "auto"]),
        ("audit --real '' --generated x", ["--real"]),
        # Of an earlier version.
        ("replay record.json", ["ganstoch verify"]),
        ("remedies --world=images", ["--synthetic"]),
        ("fit --seeds 0,1", ["--seed_everything"]),
        ("fit --config m3200", ["n4"]),
        ("fit --config=m3200-noise", ["n4-noise"]),
        ("fit --remedy=packing2+replay", ["experience_replay"]),
        ("fit --model.forms=rule", ["model.forms"]),
        ("fit --config old.yaml", ["model.forms"]),
        ("fit --model.remedies=[ganstoch.remedies.Replay]", ["ExperienceReplay"]),
        ("fit --config seeds.yaml", ["--seed_everything"]),
    ],
)
def test_a_mistake_of_the_line_is_one_line_that_names_it(
    line: str, parts: Sequence[str], tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text("model: {forms: rule}\n")
    Path("seeds.yaml").write_text("seeds: 0,1\n")
    assert main(shlex.split(line)) == 2
    err = capsys.readouterr().err
    assert err.startswith("ganstoch: ")
    assert all(part in err for part in parts), err
    assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"old.yaml", "seeds.yaml"}


def fail(monkeypatch: Patch, error: BaseException) -> None:
    """Lets `ganstoch doctor` raise."""

    def doctor(options: object) -> int:
        raise error

    monkeypatch.setattr("ganstoch.runs.doctor.doctor", doctor)


@pytest.mark.parametrize(
    ("error", "status", "parts"),
    [
        (UserError("data.n is 0;\n  give\n more"), 2, ["data.n is 0; give more"]),
        (OSError(errno.ENOSPC, "no space", "out/x"), 2, ["no space", "out/x", "--out"]),
        (KeyboardInterrupt(), 130, []),
        (MemoryError(), 2, []),
    ],
)
def test_how_a_command_ends_is_one_line(
    error: BaseException, status: int, parts: list[str], monkeypatch: Patch, capsys: Capture
) -> None:
    fail(monkeypatch, error)
    assert main(["doctor"]) == status
    err = capsys.readouterr().err
    assert err.startswith("ganstoch: ")
    assert all(part in err for part in parts)
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EBADF, "broken")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: Patch) -> None:
    fail(monkeypatch, error)
    with pytest.raises(type(error)) as raised:
        main(["doctor"])
    assert raised.value is error


def test_words_come_from_the_line_by_itself(monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "argv", ["ganstoch", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"ganstoch {__version__}\n"
    (point,) = entry_points(group="console_scripts", name="ganstoch")
    assert point.load() is main


def test_a_mistake_as_a_user_sees_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ganstoch.cli", "table1", "--report", "--out", "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ganstoch: nowhere ")
    assert done.stderr.count("\n") == 1


def loaded(*lines: str, at: Path, of: set[str]) -> list[str]:
    """Which of some modules a process of its own has imported after these commands."""
    program = (
        "import contextlib, sys\n"
        "from ganstoch.cli import main\n"
        f"for line in {lines!r}:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main(line.split())\n"
        f"print('loaded:', *sorted({of!r} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1]
    assert last.startswith("loaded:"), done.stderr
    return last.split()[1:]


HEAVY = {"torch", "pytorch_lightning", "wandb", "matplotlib", "numpy", "sklearn"}


def test_a_command_imports_what_it_needs_alone(tmp_path: Path) -> None:
    lines = ["--help", "table1 --help", "table1 --nonsense", "audit --checkpoint nowhere"]
    lines.append("audit --real . --generated . --held-out nowhere")
    lines += ["watch --help", "watch nowhere --on diverged"]
    assert loaded(*lines, at=tmp_path, of=HEAVY) == []
    needless = {"wandb", "sklearn", "cv2", "faiss", "jinja2", "submitit"}
    modules = loaded("fit --help", at=tmp_path, of=needless | {"pytorch_lightning"})
    assert modules == ["pytorch_lightning"]


PUBLIC = ["GAN", "Diagnosis", "ImageData", "Monitor", "MonitorCallback", "NeighbourMonitor"]
PUBLIC += ["OverfittingModeDrop", "audit"]


def test_the_public_names_are_there_and_cost_nothing_until_used() -> None:
    program = (
        "import sys, ganstoch\n"
        "assert set(ganstoch.__all__) <= set(dir(ganstoch))\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), sorted(ganstoch.__all__))\n"
        f"from ganstoch import {', '.join(PUBLIC)}\n"
        "print([ganstoch.__dict__[name].__name__ for name in sorted(ganstoch.__all__)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"[] {sorted(PUBLIC)}", f"{sorted(PUBLIC)}"]


def test_a_reader_who_has_read_enough_sees_no_traceback() -> None:
    command = [sys.executable, "-m", "ganstoch.cli", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, error = process.communicate()
    assert error == b""
    assert process.returncode == 128 + signal.SIGPIPE
