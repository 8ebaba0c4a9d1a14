"""Full and read-only disks: the last checkpoint is good, and one line says why."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ganstoch.callbacks.checkpoints import newest_checkpoint
from ganstoch.records import read_record


def assert_one_line(log: Path, *words: str) -> None:
    complaints = [line for line in log.read_text().splitlines() if line.startswith("ganstoch: ")]
    (complaint,) = complaints
    assert log.read_text().endswith(complaint + "\n")
    assert all(word in complaint for word in words), complaint
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("weather", "why"),
    [("full", os.strerror(errno.ENOSPC)), ("read-only", os.strerror(errno.EROFS))],
)
def test_a_disk_that_takes_no_more_from_some_file_on(
    weather: str,
    why: str,
    forge: Any,
    fit: list[str],
    reference: tuple[Path, float],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    """As `fsync` tells; the files before are one of settings and one checkpoint."""
    log = tmp_path / "log"
    assert forge.start(fit, cwd=tmp_path, log=log, weather=weather).wait() == 2, log.read_text()
    assert_one_line(log, f"cannot write run/checkpoints/step=6.ckpt: {why}")
    run = read_record(reference[0] / "record.json").config_hash
    sound = newest_checkpoint(tmp_path / "run" / "checkpoints", run=run)
    assert sound is not None
    assert sound.name == "step=3.ckpt"
    assert not list(tmp_path.rglob("*.half"))
    assert forge.start(fit, cwd=tmp_path, log=log).wait() == 0
    assert read_record(tmp_path / "run" / "record.json").history == (
        read_record(reference[0] / "record.json").history
    )
    tally("disk full or read-only: one line, last checkpoint good, gone on")


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


def test_a_real_disk_runs_full(
    forge: Any,
    fit: list[str],
    reference: tuple[Path, float],
    small_disk: Path,
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    """Filled up in the middle of a long run, and freed afterwards."""
    words, log = [*fit, "--trainer.max_steps=1000000", "--out=disk/run"], tmp_path / "log"
    running = forge.start(words, cwd=tmp_path, log=log)
    while not (small_disk / "run" / "checkpoints" / "step=6.ckpt").exists():
        time.sleep(0.01)
    ballast = small_disk / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}"], capture_output=True, check=False)
    assert running.wait() == 2, log.read_text()
    assert_one_line(log, os.strerror(errno.ENOSPC))
    ballast.unlink()
    run = read_record(reference[0] / "record.json").config_hash
    assert list((small_disk / "run" / "checkpoints").glob("*.ckpt"))
    state = (small_disk / "run" / "run.json").read_text()
    assert run not in state  # another number of iterations, another run
    log = tmp_path / "log2"
    running = forge.start(words, cwd=tmp_path, log=log)
    while not (log.exists() and "going on from disk/run/checkpoints/step=" in log.read_text()):
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -9
    tally("disk full or read-only: one line, last checkpoint good, gone on")
