"""A run on two ranks that is asked to stop: all of them do, after a checkpoint, and it goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ganstoch.records import read_record


@pytest.mark.parametrize(
    ("number", "whom"),
    [(signal.SIGTERM, "first"), (signal.SIGTERM, "second"), (signal.SIGINT, "all")],
)
def test_all_ranks_stop_where_one_was_asked_to(
    number: signal.Signals,
    whom: str,
    fit: list[str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    words = [*fit, "--trainer.devices=2", "--trainer.accelerator=cpu", "--quiet=true"]
    command = [sys.executable, "-m", "ganstoch.cli", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--trainer.max_steps=100000", "--checkpoint_every=100000"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
        )
    request.addfinalizer(lambda: end(process))
    run = tmp_path / "run"
    while not (run / "progress.json").exists():
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.1)
    (second,) = children(process.pid)
    if whom == "all":
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid if whom == "first" else second, number)
    assert process.wait(timeout=120) == 130, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
    (checkpoint,) = (run / "checkpoints").glob("*.ckpt")
    deadline = time.monotonic() + 30
    while Path(f"/proc/{second}").exists():
        assert time.monotonic() < deadline, "the second rank lives on"
        time.sleep(0.1)

    reached = int(checkpoint.stem.removeprefix("step="))
    more = [f"--ckpt_path={checkpoint}", f"--trainer.max_steps={reached + 3}", "--out=more"]
    subprocess.run([*command, *more], cwd=tmp_path, env=environment, check=True, timeout=300)
    assert read_record(tmp_path / "more" / "record.json").iterations == reached + 3
    tally("two ranks stopped by a signal to either or both, and gone on")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of a run that did not stop."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def hear_ctrl_c() -> None:
    """What a script puts in the background does not, nor what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def children(pid: int) -> list[int]:
    """Processes that a process has started, and that are Python."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if "ganstoch" in command_of(int(child))]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
