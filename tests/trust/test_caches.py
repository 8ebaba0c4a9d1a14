"""What is prepared once and kept: of several processes, one makes it, even if another is killed."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganstoch.auditing.feature_cache import features_of
from ganstoch.auditing.inputs import open_images
from ganstoch.data import FFHQ, ffhq
from ganstoch.data.decoding import decode_all
from ganstoch.metrics.features import Pixels

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_child(work: Callable[[], object], *, log: Path) -> int:
    """Forks; the child does its work and ends, with status 1 and a trace in its log if it fails."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    with log.open("w", buffering=1) as file, contextlib.suppress(BaseException):
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                work()
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
        file.flush()
    os._exit(status)


def statuses(pids: Sequence[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def wait_for(file: Path) -> None:
    """Until there is something in it."""
    until = time.monotonic() + 60
    while not file.exists() or not file.read_text():
        assert time.monotonic() < until, f"no {file.name}"
        time.sleep(0.005)


def eight(work: Callable[[], bytes], *, made: Path, here: Path, victim: bool = False) -> list[str]:
    """What eight workers found who wanted the same at once; optionally, whoever is first to make
    it is killed over it."""
    barrier = multiprocessing.get_context("fork").Barrier(8)

    def one() -> None:
        barrier.wait()
        (here / f"{os.getpid()}.found").write_bytes(work())

    pids = {in_child(one, log=here / f"{i}.txt"): i for i in range(8)}
    if victim:
        wait_for(made)
        first = int(made.read_text())
        os.kill(first, signal.SIGKILL)
        assert statuses([first]) == [-signal.SIGKILL]
        del pids[first]
    logs = {pid: here / f"{i}.txt" for pid, i in pids.items()}
    for pid, status in zip(pids, statuses(list(pids)), strict=True):
        assert status == 0, logs[pid].read_text()
    (digest,) = {hashlib.sha256((here / f"{pid}.found").read_bytes()).hexdigest() for pid in pids}
    assert digest
    return [log.read_text() for log in logs.values()]


def slowly(made: Path, original: Callable[..., Any]) -> Callable[..., Any]:
    """Notes who makes it, and takes two seconds."""

    def make(*arguments: Any, **options: Any) -> Any:
        with made.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(2)
        return original(*arguments, **options)

    return make


def no_litter(folder: Path) -> None:
    assert [path.name for path in folder.rglob(".*")] == []


@pytest.mark.parametrize("victim", [False, True])
def test_a_folder_of_images_is_converted_once(
    victim: bool, here: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None]
) -> None:
    rng = np.random.default_rng(0)
    folder = here / "faces" / "thumbnails128x128" / "00000"
    folder.mkdir(parents=True)
    for i in range(12):
        image = Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8))
        image.save(folder / f"{i:05}.png")
    monkeypatch.setattr(ffhq, "decode_all", slowly(here / "made", decode_all))

    def work() -> bytes:
        images = FFHQ().open(here / "faces", "train")
        assert images is not None
        return images.read(torch.arange(12)).numpy().tobytes()

    logs = eight(work, made=here / "made", here=here, victim=victim)
    assert len((here / "made").read_text().splitlines()) == 1 + victim
    waited = f"waiting for another process to scale the images in {folder.parent}\n"
    assert sum(log == waited for log in logs) == 7 - victim
    no_litter(here / "faces")
    tally("8 workers prepare once", 8)


@pytest.mark.parametrize("victim", [False, True])
def test_features_are_made_once(
    victim: bool, here: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None]
) -> None:
    from ganstoch.auditing import feature_cache

    rng = np.random.default_rng(0)
    (here / "photos").mkdir()
    for i in range(70):
        image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        image.save(here / "photos" / f"{i:02}.png")
    made = slowly(here / "made", feature_cache.save_array)
    monkeypatch.setattr(feature_cache, "save_array", made)

    def work() -> bytes:
        images = open_images(here / "photos", role="real")
        found = features_of(images, Pixels(), cache=here / "kept", memory=1)
        return found.numpy().tobytes()

    eight(work, made=here / "made", here=here, victim=victim)
    assert len((here / "made").read_text().splitlines()) == 1 + victim
    no_litter(here / "kept")
    tally("8 workers prepare once", 8)
