"""Several workers on one folder: rows are shared, data are prepared once, and nobody is waited for
who is gone."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from ganstoch.auditing.feature_cache import features_of
from ganstoch.auditing.inputs import open_images
from ganstoch.cli import main
from ganstoch.data import CIFAR10, FFHQ, Digits, ffhq
from ganstoch.data.decoding import decode_all
from ganstoch.metrics.features import Pixels
from ganstoch.records import Record, write_record
from ganstoch.runs import launching, runner
from ganstoch.runs.command import understand
from ganstoch.runs.runner import Job, run_jobs

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

TINY = {
    "trainer.max_steps": "4",
    "checkpoint_every": "2",
    "evaluation.every": "2",
    "evaluation.queries": "8",
    "evaluation.semantic": "null",
    "model.generator.init_args.width": "16",
    "model.generator.init_args.latent_dim": "8",
    "model.discriminator.init_args.width": "16",
    "wandb.mode": "disabled",
}
TABLE = ["table1", "--preset=mini", "--out=out", *(f"--set={k}={v}" for k, v in TINY.items())]
RECORD = Record(
    config_hash="c",
    seed=0,
    preset="mini",
    dataset="digits",
    n=4,
    m=1,
    bank=4,
    noise=0.0,
    iterations=1,
    images_seen=4,
    converged=False,
    seconds=1.0,
    subset_sha256="s",
    metrics={f"{d}/pixel_l1/mean": 1.0 for d in ("overfitting", "mode_drop")},
    baseline={},
    history=(),
    config={},
    versions={},
    hardware="none",
)


@pytest.fixture(scope="module")
def forge() -> Iterator[ModuleType]:
    """How to fork commands from this process, which has everything imported and parsed by then."""
    spec = importlib.util.spec_from_file_location("forge", Path(__file__).with_name("forge.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = Digits().open(Path(), "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "open", lambda _, root, split: images if split == "train" else None)
        understand([])
        yield module


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


@pytest.fixture
def tables(
    forge: ModuleType, here: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], list[int]]:
    """Forks `ganstoch table1 --jobs 2` on one folder; every row that they start is in `started`."""

    class Counted(forge.Forked):  # type: ignore[misc, name-defined]
        def __init__(self, command: Sequence[str], **options: Any) -> None:
            super().__init__(command, **options)
            (folder,) = (w.removeprefix("--out=") for w in command if w.startswith("--out="))
            with (here / "started").open("a") as file:
                file.write(f"{Path(folder).name} {self.pid}\n")

    def work() -> None:
        monkeypatch.setattr(launching, "subprocess", forge.Shim(subprocess, Popen=Counted))
        assert main([*TABLE, "--jobs=2"]) == 0

    def tables(count: int) -> list[int]:
        return [in_child(work, log=here / f"table{i}.txt") for i in range(count)]

    return tables


def reports(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def table(log: Path) -> str:
    text = log.read_text()
    return text[text.index("\nTable 1\n") :]


def test_rows_are_shared(
    tables: Callable[[int], list[int]], here: Path, tally: Callable[..., None]
) -> None:
    assert statuses(tables(4)) == [0] * 4, (here / "table0.txt").read_text()
    started = [line.split()[0] for line in (here / "started").read_text().splitlines()]
    assert len(started) == len(set(started)) == 5
    logs = [here / f"table{i}.txt" for i in range(4)]
    for log in logs:
        assert log.read_text().count("\ndone   ") == 5
        assert table(log) == table(logs[0])
    assert sum(log.read_text().count("(by another process)") for log in logs) == 3 * 5
    for run in (here / "out" / "runs").iterdir():
        assert "at work on" not in (run / "log.txt").read_text()
    # One alone has nothing to do and writes the same bytes.
    before = reports(here / "out")
    assert statuses(tables(1)) == [0]
    assert reports(here / "out") == before
    assert len((here / "started").read_text().splitlines()) == 5
    tally("rows shared, none run twice", 5)


def test_the_rows_of_a_killed_worker_are_taken_over(
    tables: Callable[[int], list[int]], here: Path, tally: Callable[..., None]
) -> None:
    victim, *others = tables(3)
    wait_for(here / "started")
    os.kill(victim, signal.SIGKILL)
    killed = set()
    for line in (here / "started").read_text().splitlines()[:2]:  # rows of any worker
        name, pid = line.split()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
            killed.add(name)
    assert statuses([victim]) == [-signal.SIGKILL]
    ended = statuses(others)
    started = [line.split()[0] for line in (here / "started").read_text().splitlines()]
    assert len(set(started)) == 5
    assert all(started.count(name) == 1 for name in set(started) - killed)
    # A worker whose own process was killed has tried that row, and says so; another finishes it.
    assert all(started.count(name) <= 2 for name in killed)
    assert 0 in ended
    assert set(ended) <= {0, 1}
    assert json.loads((here / "out" / "plan.json").read_bytes())["missing"] == []
    tally("rows shared, none run twice", 5)


def test_a_crowd_at_many_small_rows(
    here: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None]
) -> None:
    """Eight at forty rows, with a program that lasts an instant in the place of training."""
    write_record(here / "whole.json", RECORD)
    program = here / "python"
    program.write_text(
        "#!/bin/sh\n"
        "for word; do case $word in --out=*) out=${word#--out=};; --kind=*) kind=${word#*=};;"
        " esac; done\n"
        'echo >> "$out/started"; times=$(wc -l < "$out/started")\n'
        '[ -e "$out/alive" ] && echo >> twice; touch "$out/alive"; sleep 0.02; rm "$out/alive"\n'
        "[ $kind = bad ] && exit 1; [ $kind = shaky ] && [ $times = 1 ] && exit 1\n"
        'cp whole.json "$out/.new" && mv "$out/.new" "$out/record.json"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(runner, "_LOOK", 0.1)
    kinds = {f"row{i}": {0: "bad", 1: "shaky"}.get(i % 10, "good") for i in range(40)}

    def work() -> None:
        order = random.Random(os.getpid()).sample(sorted(kinds), len(kinds))
        jobs = [Job(n, [f"--kind={kinds[n]}"], here / n, 1.0, config_hash="c") for n in order]
        run_jobs(jobs, parallel=2, threads=1, say=print)
        assert {job.label for job in jobs if job.failure} >= {n for n in kinds if kinds[n] == "bad"}

    assert statuses([in_child(work, log=here / f"{i}.txt") for i in range(8)]) == [0] * 8
    tries = {name: len((here / name / "started").read_text()) for name in kinds}
    assert not (here / "twice").exists()
    expected = {"good": 1, "shaky": 2, "bad": 8}
    assert tries == {name: expected[kind] for name, kind in kinds.items()}
    logs = [(here / f"{i}.txt").read_text() for i in range(8)]
    assert sum(log.count("FAILED") for log in logs) == 4 + 4 * 8
    tally("rows shared, none run twice", len(kinds))


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
def test_an_archive_is_unpacked_once(
    victim: bool, here: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None]
) -> None:
    from torchvision.datasets import CIFAR10 as Published

    rng = np.random.default_rng(0)
    md5s = {}
    archive = here / Published.filename
    with tarfile.open(archive, "w:gz") as tar:
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
            pixels = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
            content = pickle.dumps({"data": pixels, "labels": [0, 1], "label_names": ["a"]})
            md5s[name] = hashlib.md5(content).hexdigest()
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(Published, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(Published, "train_list", [[n, md5s[n]] for n in md5s if n[0] == "d"])
    monkeypatch.setattr(Published, "test_list", [["test_batch", md5s["test_batch"]]])
    monkeypatch.setitem(Published.meta, "md5", md5s["batches.meta"])

    def download(url: str, path: str) -> None:
        shutil.copy(archive, path)

    utils = torchvision.datasets.utils
    monkeypatch.setattr(utils, "_urlretrieve", slowly(here / "downloaded", download))
    monkeypatch.setattr(utils, "extract_archive", slowly(here / "made", utils.extract_archive))

    def work() -> bytes:
        CIFAR10().prepare(here / "data")
        return CIFAR10().open(here / "data", "train").read(torch.arange(10)).numpy().tobytes()

    eight(work, made=here / "made", here=here, victim=victim)
    assert len((here / "made").read_text().splitlines()) == 1 + victim
    assert len((here / "downloaded").read_text().splitlines()) == 1
    no_litter(here / "data")
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
