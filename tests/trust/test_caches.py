"""What is prepared once and kept: of several processes, one makes it, even if another is killed."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganstoch.auditing import feature_cache
from ganstoch.auditing.inputs import open_images
from ganstoch.data import FFHQ, ffhq
from ganstoch.data.cache import save_array
from ganstoch.metrics.features import Pixels

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
Make = Callable[..., Any]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def eight(work: Callable[[], bytes], *, victim: bool, here: Path) -> list[str]:
    """What eight workers say who want the same at once; the first to make it may be a victim."""
    barrier = FORK.Barrier(8)

    def one(number: int) -> None:
        with (
            (here / f"{number}.txt").open("w", buffering=1) as log,
            contextlib.redirect_stderr(log),
        ):
            barrier.wait()
            (here / f"{number}.bytes").write_bytes(work())

    workers = {number: FORK.Process(target=one, args=(number,)) for number in range(8)}
    for worker in workers.values():
        worker.start()
    if victim:
        until = time.monotonic() + 60
        while not (here / "made").exists() or not (here / "made").read_text():
            assert time.monotonic() < until
            time.sleep(0.005)
        pid = int((here / "made").read_text())
        (first,) = [number for number, worker in workers.items() if worker.pid == pid]
        workers[first].kill()
        workers.pop(first).join()
    for worker in workers.values():
        worker.join(120)
    logs = [(here / f"{number}.txt").read_text() for number in workers]
    assert [worker.exitcode for worker in workers.values()] == [0] * len(workers), logs
    (content,) = {(here / f"{number}.bytes").read_bytes() for number in workers}
    assert content
    assert len((here / "made").read_text().splitlines()) == 1 + victim
    return logs


def slowly(original: Callable[..., Any]) -> Callable[..., Any]:
    """Notes who makes it, and takes two seconds."""

    def make(*arguments: Any, **options: Any) -> Any:
        with Path("made").open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(2)
        return original(*arguments, **options)

    return make


def scaled(here: Path) -> bytes:
    images = FFHQ().open(here / "faces", "train")
    assert images is not None
    return images.read(torch.arange(12)).numpy().tobytes()


def features(here: Path) -> bytes:
    images = open_images(here / "faces", role="real")
    space = feature_cache.features_of(images, Pixels(), cache=here / "cache", memory=1)
    return space.numpy().tobytes()


@pytest.mark.parametrize("victim", [False, True])
@pytest.mark.parametrize("work", [scaled, features])
def test_several_want_it_and_one_makes_it(
    work: Make, victim: bool, here: Path, monkeypatch: pytest.MonkeyPatch, tally: Make
) -> None:
    folder = here / "faces/thumbnails128x128/00000"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 128, 128, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:05}.png")
    monkeypatch.setattr(feature_cache, "save_array", slowly(save_array))
    monkeypatch.setattr(ffhq, "decode_all", slowly(ffhq.decode_all))
    logs = eight(lambda: work(here), victim=victim, here=here)
    assert sum(log.startswith("waiting for another process") for log in logs) == 7 - victim
    assert not list(here.rglob(".*"))
    tally("8 workers prepare once", 8)
