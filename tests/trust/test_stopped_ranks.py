"""A run on two ranks that is asked to stop: all of them do, after a checkpoint, and it goes on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganstoch.records import read_record


@pytest.mark.parametrize(
    ("number", "whom"),
    [(signal.SIGTERM, "first"), (signal.SIGTERM, "second"), (signal.SIGINT, "all")],
)
def test_all_ranks_stop_where_one_was_asked_to(
    number: signal.Signals, whom: str, lab: Any, request: Any, tally: Callable[..., None]
) -> None:
    words = [*lab.fit, "--trainer.devices=2", "--trainer.accelerator=cpu"]
    command = [sys.executable, "-m", "ganstoch.cli", *words]
    place: dict[str, Any] = {"cwd": lab.here, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    run, log = lab.here / "run", lab.here / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--trainer.max_steps=100000", "--checkpoint_every=100000"],
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
            **place,
        )
    request.addfinalizer(lambda: end(process))
    while not (run / "progress.json").exists():
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    (second,) = children(process.pid)
    if whom == "all":
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid if whom == "first" else second, number)
    assert process.wait(timeout=120) == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    (checkpoint,) = (run / "checkpoints").glob("*.ckpt")
    deadline = time.monotonic() + 30
    while Path(f"/proc/{second}").exists():
        assert time.monotonic() < deadline, "the second rank lives on"
        time.sleep(0.1)

    steps = int(checkpoint.stem.removeprefix("step=")) + 3
    more = [f"--ckpt_path={checkpoint}", f"--trainer.max_steps={steps}", "--out=more"]
    subprocess.run([*command, *more], check=True, timeout=300, **place)
    assert read_record(lab.here / "more/record.json").iterations == steps
    tally("two ranks stopped by a signal to either or both, and gone on")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of a run that did not stop."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def hear_ctrl_c() -> None:
    """What a script puts in the background does not, nor what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def children(pid: int) -> list[int]:
    """Processes that a process has started, and that are ganstoch's."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(p) for p in pids if "ganstoch" in Path(f"/proc/{p}/cmdline").read_text()]
