"""Processes that last an instant, in the place of training."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from ganstoch.records import RUN_LOCK, Record, write_record
from ganstoch.runs import pool
from ganstoch.runs.pool import BUSY, Row, run_rows

Run = Callable[..., list[str]]
COPY = "import shutil; shutil.copy('../whole.json', 'record.json')\n"
"""What a run that ends well does."""


@pytest.fixture
def record(here: Path, make_record: Callable[..., Record]) -> Record:
    record = make_record(metrics={"overfitting/pixel_l1/mean": 1.0, "mode_drop/pixel_l1/mean": 1.0})
    write_record(here / "whole.json", record)
    return record


@pytest.fixture
def programs(record: Record, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets a row's arguments be a Python program; returns the order in which they are started."""
    order = []

    def start(row: Row, environment: object) -> subprocess.Popen[bytes]:
        order.append(row.label)
        row.folder.mkdir(parents=True, exist_ok=True)
        with (row.folder / "log.txt").open("ab") as log:
            command = [sys.executable, "-S", "-c", *row.arguments]
            return subprocess.Popen(command, cwd=row.folder, stdout=log, stderr=log)

    monkeypatch.setattr(pool, "launch", start)
    monkeypatch.setattr(pool, "_LOCK_CHECK_S", 0.0)
    return order


def row(label: str, program: str = COPY, *, work: float = 1, after: str | None = None) -> Row:
    """A row below the working directory."""
    twin = Path.cwd() / after if after else None
    return Row(label, [program], Path.cwd() / label, work=work, config_hash="c", after=twin)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs rows; a line for each."""

    def run(*rows: Row, parallel: int = 1) -> list[str]:
        run_rows(rows, parallel=parallel, start=partial(pool.launch_all, threads=1))
        return capsys.readouterr().out.splitlines()

    return run


def test_the_costliest_goes_first(programs: list[str], run: Run) -> None:
    run(row("a", work=1), row("b", work=3), row("c", work=2))
    assert programs == ["b", "c", "a"]


def test_a_failing_row_stops_no_other(here: Path, programs: list[str], run: Run) -> None:
    why = "import sys; print('ganstoch: data.m is 0; give more', file=sys.stderr); sys.exit(2)"
    rows = [row("a", why, work=9), row("b"), row("c", "raise ValueError('oh')"), row("d", "")]
    rows += [row("e", "import os; os.kill(os.getpid(), 9)")]
    lines = run(*rows, parallel=2)
    for label, part in [
        *(("a", "data.m is 0"), ("a", "status 2"), ("c", "ValueError: oh")),
        *(("d", "record.json"), ("e", "status -9")),
    ]:
        (line,) = [line for line in lines if line.startswith(f"FAILED {label}: ")]
        assert part in line
        assert str(here / label) in line
    assert [line for line in lines if line.startswith("done   b: ")]
    assert [bool(row.failure) for row in rows] == [True, False, True, True, True]


def test_a_noisy_row_waits_for_its_twin_unless_that_failed(programs: list[str], run: Run) -> None:
    lines = run(row("noisy", work=9, after="twin"), row("twin", work=1), parallel=2)
    assert programs == ["twin", "noisy"]
    assert [line.split(":")[0] for line in lines] == ["done   twin", "done   noisy"]
    noisy = row("alone", work=9, after="failing")
    lines = run(noisy, row("failing", "raise SystemExit(1)"), row("other"))
    assert any(line.startswith("FAILED alone: ") for line in lines)
    assert "failing" in str(noisy.failure)
    assert sorted(programs[2:]) == ["failing", "other"]


def test_no_more_at_once_than_allowed(here: Path, programs: list[str], run: Run) -> None:
    count = (
        "import os, time\n"
        "mine = os.path.join('..', 'running', str(os.getpid()))\n"
        "open(mine, 'w').close()\n"
        "open('seen', 'w').write(str(len(os.listdir(os.path.dirname(mine)))))\n"
        "time.sleep(0.3)\n"
        "os.remove(mine)\n"
    )
    (here / "running").mkdir()
    run(*(row(name, count) for name in "abcd"), parallel=2)
    assert max(int((here / name / "seen").read_text()) for name in "abcd") <= 2


SLEEP = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (open('told', 'w').close(), sys.exit(0)))\n"
    "open('ready', 'w').close()\n"
    "time.sleep(600)\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_the_runs(
    number: signal.Signals, here: Path, programs: list[str], run: Run
) -> None:
    tell = (
        "import os, time\n"
        "while not os.path.exists('../a/ready'): time.sleep(0.02)\n"
        f"os.kill({os.getpid()}, {int(number)})\n"
        "time.sleep(600)\n"
    )
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(row("a", SLEEP, work=9), row("b", tell), parallel=2)
    assert (here / "a" / "told").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_row_in_other_hands_takes_no_place(
    record: Record, programs: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row("a", work=9), row("b", work=2), row("c", work=1, after="a")]
    rows[0].folder.mkdir()
    held, original = FileLock(rows[0].folder / RUN_LOCK), pool._tell
    held.acquire()

    def tell(row: Row) -> None:
        original(row)
        if row.label == "b":  # only now does the other process finish
            write_record(rows[0].folder / "record.json", record)
            held.release()

    monkeypatch.setattr(pool, "_tell", tell)
    lines = run(*rows)
    assert (programs[0], programs[-1]) == ("b", "c")
    assert [line.partition(":")[0] for line in lines] == ["done   b", "done   a", "done   c"]


def test_a_row_that_came_too_late_is_started_again(programs: list[str], run: Run) -> None:
    once = f"if not os.path.exists('once'): open('once', 'w').close(); sys.exit({BUSY})\n"
    (line,) = run(row("a", f"import os, sys\n{once}{COPY}"))
    assert line.startswith("done   a")
    assert programs == ["a", "a"]


@pytest.mark.parametrize(
    ("content", "share"),
    [
        ('{"iteration": 1, "of": 4}', 0.25),
        ('{"iteration": 9, "of": 4}', 1.0),
        *((damaged, 0.0) for damaged in ("", "{}", '{"iteration": 1, "of": 0}')),
    ],
)
def test_share_of_a_running_row(content: str, share: float, here: Path) -> None:
    assert pool._share(row("a")) == 0.0
    (here / "a").mkdir()
    (here / "a" / "progress.json").write_text(content)
    assert pool._share(row("a")) == share
