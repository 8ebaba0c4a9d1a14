"""Processes that last an instant, in the place of training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from ganstoch.records import RUN_LOCK, Record, write_record
from ganstoch.runs import pool
from ganstoch.runs.pool import BUSY, Row, run_rows

METRICS = {"overfitting/pixel_l1/mean": 1.0, "mode_drop/pixel_l1/mean": 1.0}


@pytest.fixture
def record(make_record: Callable[..., Record]) -> Record:
    return make_record(metrics=METRICS)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets a job's arguments be a Python program; returns the order in which they are started."""
    order = []

    def start(job: Row, environment: object) -> subprocess.Popen[bytes]:
        order.append(job.label)
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / "log.txt").open("ab") as log:
            command = [sys.executable, "-S", "-c", *job.arguments]
            return subprocess.Popen(command, cwd=job.folder, stdout=log, stderr=log)

    monkeypatch.setattr(pool, "launch", start)
    monkeypatch.setattr(pool, "_LOCK_CHECK_S", 0.0)
    return order


@pytest.fixture
def job(here: Path, record: Record) -> Callable[..., Row]:
    """A job that ends well, unless its program says otherwise."""
    write_record(here / "whole.json", record)
    copy = f"open('record.json', 'wb').write(open({str(here / 'whole.json')!r}, 'rb').read())"

    def job(label: str, program: str = copy, *, work: float = 1, after: str | None = None) -> Row:
        twin = here / after if after else None
        return Row(label, [program], here / label, work=work, config_hash="c", after=twin)

    return job


def run(
    rows: Sequence[Row], *, parallel: int = 1, say: Callable[[str], None] | None = None
) -> list[str]:
    lines: list[str] = []
    run_rows(
        rows,
        parallel=parallel,
        start=lambda chosen: [pool.launch(row, {}) for row in chosen],
        say=say or lines.append,
    )
    return lines


def test_the_costliest_goes_first(programs: list[str], job: Callable[..., Row]) -> None:
    run([job("a", work=1), job("b", work=3), job("c", work=2)])
    assert programs == ["b", "c", "a"]


def test_a_failing_job_stops_no_other(
    here: Path, programs: list[str], job: Callable[..., Row]
) -> None:
    why = "import sys; print('ganstoch: data.m is 0; give more', file=sys.stderr); sys.exit(2)"
    jobs = [job("a", why, work=9), job("b"), job("c", "raise ValueError('oh')"), job("d", "")]
    jobs += [job("e", "import os; os.kill(os.getpid(), 9)")]
    lines = run(jobs)
    for label, part in [
        *(("a", "data.m is 0"), ("a", "status 2"), ("c", "ValueError: oh")),
        *(("d", "record.json"), ("e", "status -9")),
    ]:
        (line,) = [line for line in lines if line.startswith(f"FAILED {label}: ")]
        assert part in line
        assert str(here / label) in line
    assert lines[1].startswith("done   b: ")
    assert [bool(j.failure) for j in jobs] == [True, False, True, True, True]


def test_a_noisy_row_waits_for_its_twin(programs: list[str], job: Callable[..., Row]) -> None:
    lines = run([job("noisy", work=9, after="twin"), job("twin", work=1)], parallel=2)
    assert programs == ["twin", "noisy"]
    assert [line.split(":")[0] for line in lines] == ["done   twin", "done   noisy"]


def test_a_noisy_row_does_not_wait_for_a_twin_that_failed(
    programs: list[str], job: Callable[..., Row]
) -> None:
    noisy = job("noisy", work=9, after="twin")
    lines = run([noisy, job("twin", "raise SystemExit(1)"), job("other")])
    assert any(line.startswith("FAILED noisy: ") for line in lines)
    assert noisy.failure is not None
    assert "twin" in noisy.failure
    assert "noisy" not in programs
    assert "other" in programs


def test_no_more_at_once_than_asked(
    here: Path, programs: list[str], job: Callable[..., Row]
) -> None:
    count = (
        "import os, time\n"
        "open(os.path.join('..', 'running', str(os.getpid())), 'w').close()\n"
        "seen = len(os.listdir(os.path.join('..', 'running')))\n"
        "time.sleep(0.3)\n"
        "os.remove(os.path.join('..', 'running', str(os.getpid())))\n"
        "open('seen', 'w').write(str(seen))\n"
    )
    (here / "running").mkdir()
    run([job(name, count) for name in "abcd"], parallel=2)
    seen = [int((here / name / "seen").read_text()) for name in "abcd"]
    assert max(seen) <= 2


SLEEP = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (open('told', 'w').close(), sys.exit(0)))\n"
    "open('ready', 'w').close()\n"
    "time.sleep(600)\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_the_runs(
    number: signal.Signals, here: Path, programs: list[str], job: Callable[..., Row]
) -> None:
    """Else they would go on alone."""
    tell = (
        "import os, sys, time\n"
        f"while not os.path.exists({str(here / 'a' / 'ready')!r}): time.sleep(0.02)\n"
        f"os.kill({os.getpid()}, {int(number)})\n"
        "time.sleep(600)\n"
    )
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run([job("a", SLEEP, work=9), job("b", tell)], parallel=2)
    assert (here / "a" / "told").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_job_is_a_command_of_its_own(
    here: Path, job: Callable[..., Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def popen(command: list[str], **options: object) -> None:
        seen.update(options, command=command)

    monkeypatch.setattr(subprocess, "Popen", popen)
    a = job("a", "--data.n=3")
    pool.launch(a, {"OMP_NUM_THREADS": "3"})
    assert seen["command"] == [
        *(sys.executable, "-m", "ganstoch.cli", "fit", "--data.n=3"),
        *(f"--out={a.folder}", "--quiet=true"),
    ]
    assert seen["env"]["OMP_NUM_THREADS"] == "3"  # type: ignore[index]
    assert seen["stdin"] == subprocess.DEVNULL
    assert (a.folder / "log.txt").exists()


def test_a_row_in_other_hands_takes_no_place(
    record: Record, programs: list[str], job: Callable[..., Row]
) -> None:
    a, b, c = job("a", work=9), job("b", work=2), job("c", work=1, after="a")
    a.folder.mkdir()
    held, lines = FileLock(a.folder / RUN_LOCK), list[str]()
    held.acquire()

    def say(line: str) -> None:
        lines.append(line)
        if line.startswith("done   b"):  # only now does the other process finish
            write_record(a.folder / "record.json", record)
            held.release()

    run([a, b, c], say=say)
    assert programs[0] == "b"
    assert programs[-1] == "c"
    assert [line.partition(":")[0] for line in lines] == ["done   b", "done   a", "done   c"]


def test_a_row_that_came_too_late_is_started_again(
    here: Path, programs: list[str], job: Callable[..., Row]
) -> None:
    """By then whoever was first has gone without a record."""
    busy = (
        "import os, sys\n"
        f"if not os.path.exists('once'): open('once', 'w').close(); sys.exit({BUSY})\n"
        f"open('record.json', 'wb').write(open({str(here / 'whole.json')!r}, 'rb').read())"
    )
    (line,) = run([job("a", busy)])
    assert line.startswith("done   a")
    assert programs == ["a", "a"]


def test_share_of_a_running_job(here: Path, job: Callable[..., Row]) -> None:
    a = job("a")
    assert pool._share(a) == 0.0
    a.folder.mkdir()
    for content, share in [({"iteration": 1, "of": 4}, 0.25), ({"iteration": 9, "of": 4}, 1.0)]:
        (a.folder / "progress.json").write_text(json.dumps(content))
        assert pool._share(a) == share
    for damaged in ("", "{}", '{"iteration": 1, "of": 0}'):
        (a.folder / "progress.json").write_text(damaged)
        assert pool._share(a) == 0.0
