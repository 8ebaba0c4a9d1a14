"""Full and read-only disks: the last checkpoint is good, and one line says why."""

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ganstoch.records
from ganstoch.callbacks.checkpoints import newest_checkpoint
from ganstoch.records import read_record

PROMISE = "disk full or read-only: one line, last checkpoint good, gone on"
Make = Callable[..., Any]


def assert_one_line(running: Any, *words: str) -> None:
    (complaint,) = [line for line in running.output.splitlines() if line.startswith("ganstoch: ")]
    assert running.output.endswith(complaint + "\n")
    assert all(word in complaint for word in words), complaint
    assert "Traceback" not in running.output


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more_from_some_file_on(
    why: int, lab: Any, reference: tuple[Path, float], tally: Make
) -> None:
    files: list[int] = []

    def fsync(descriptor: int) -> None:
        files.append(descriptor)
        if len(files) >= 3:
            raise OSError(why, os.strerror(why))
        os.fsync(descriptor)

    def brew() -> None:
        broken = SimpleNamespace(**(vars(os) | {"fsync": fsync}))
        ganstoch.records.os = broken  # type: ignore

    running = lab.run(lab.fit, status=2, first=brew)
    assert_one_line(running, f"cannot write run/checkpoints/step=6.ckpt: {os.strerror(why)}")
    undisturbed = read_record(reference[0] / "record.json")
    sound = newest_checkpoint(lab.here / "run/checkpoints", run=undisturbed.config_hash)
    assert sound is not None
    assert sound.name == "step=3.ckpt"
    assert not list(lab.here.rglob("*.half"))
    lab.run(lab.fit)
    assert read_record(lab.here / "run/record.json").history == undisturbed.history
    tally(PROMISE)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB of the test's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_real_disk_runs_full(lab: Any, small_disk: Path, tally: Make) -> None:
    words = [*lab.fit, "--trainer.max_steps=1000000", "--out=disk/run"]
    running = lab.start(words)
    while not (small_disk / "run/checkpoints/step=6.ckpt").exists():
        time.sleep(0.01)
    ballast = small_disk / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}"], capture_output=True, check=False)
    assert running.wait() == 2, running.output
    assert_one_line(running, os.strerror(errno.ENOSPC))
    ballast.unlink()
    running = lab.start(words)
    while not running.lines("going on from disk/run/checkpoints/step="):
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -9
    tally(PROMISE)
