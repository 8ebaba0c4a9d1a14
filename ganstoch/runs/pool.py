"""The rows of a sweep as processes of this machine, with one display for all of them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from ganstoch.errors import UserError
from ganstoch.records import RECORD, RUN_LOCK, Record, is_finished, read_record

BUSY = os.EX_TEMPFAIL  # 75: exit status of a `ganstoch fit` whose folder another process holds
LOG = "log.txt"  # in a row's folder
_LOCK_CHECK_S = 2.0


@dataclass(slots=True, eq=False)
class Row:
    """One run of a sweep."""

    label: str
    arguments: list[str]  # behind `ganstoch fit`
    folder: Path
    work: float  # rough cost, in any unit common to all rows
    config_hash: str
    after: Path | None = None  # folder of the run that must be finished before
    finished: bool = False
    failure: str | None = None  # why it cannot be trained, or failed


def launch(row: Row, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts `ganstoch fit` for a row; what it prints is appended to the row's log."""
    row.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ganstoch.cli", "fit", *row.arguments]
    command += [f"--out={row.folder}", "--quiet=true"]
    with (row.folder / LOG).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment)
        )


def launch_all(rows: Sequence[Row], *, threads: int) -> list[subprocess.Popen[bytes]]:
    """Starts rows, each with so many threads."""
    return [launch(row, os.environ | {"OMP_NUM_THREADS": str(threads)}) for row in rows]


def run_rows(
    rows: Sequence[Row], *, parallel: int, start: Callable[[Sequence[Row]], Sequence[Any]]
) -> None:
    """Trains every row that is neither finished nor failed, the costliest first, some at once."""
    todo = [row for row in rows if not (row.finished or row.failure)]
    waiting = sorted(todo, key=lambda row: -row.work)
    running: dict[Row, Any] = {}  # processes, or jobs with the same `poll`, `send_signal`, `wait`
    held_until: dict[Row, float] = {}  # rows seen in the hands of another process
    terminal = sys.stderr.isatty()
    bar = tqdm(
        total=round(sum(row.work for row in todo)),
        bar_format="{percentage:3.0f}%|{bar}| {elapsed}, {remaining} to go{postfix}",
        mininterval=0.5 if terminal else 30.0,  # a log file gets a line now and then
        ncols=None if terminal else 100,
        dynamic_ncols=terminal,
    )

    def startable() -> list[Row]:
        chosen: list[Row] = []
        for row in list(waiting):
            if len(running) + len(chosen) >= parallel:
                break
            if any(other.folder == row.after for other in (*waiting, *running)):
                continue
            if row.after is not None and not (row.after / RECORD).exists():
                row.failure = f"it waits for {row.after.name}, which failed"
                waiting.remove(row)
                _tell(row)
            elif held_until.get(row, 0.0) <= time.monotonic():
                if _is_held(row.folder):
                    held_until[row] = time.monotonic() + _LOCK_CHECK_S
                else:
                    waiting.remove(row)
                    chosen.append(row)
        return chosen

    try:
        with sigterm_interrupts(), bar:
            while waiting or running:
                chosen = startable()
                running |= zip(chosen, start(chosen), strict=True) if chosen else ()
                time.sleep(0.2)
                for row, process in list(running.items()):
                    status = process.poll()
                    if status is None:
                        continue
                    del running[row]
                    if status == BUSY:
                        waiting.append(row)
                        continue
                    row.failure = row.failure or _failure(row, status)
                    _tell(row)
                done = sum(row.work for row in todo if row.finished or row.failure)
                done += sum(row.work * _share(row) for row in (*waiting, *running))
                bar.set_postfix_str(f"{len(waiting) + len(running)} runs left", refresh=False)
                bar.update(round(done) - bar.n)
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)  # each leaves a checkpoint first
        for process in running.values():
            process.wait()


def _tell(row: Row) -> None:
    """Prints how a row has ended, above the display; sets `Row.finished` or `Row.failure`."""
    line = f"FAILED {row.label}: "
    try:
        if row.failure is None and is_finished(row.folder, row.config_hash):
            line = f"done   {row.label}: {_result(read_record(row.folder / RECORD))}"
            row.finished = True
        elif row.failure is None:
            row.failure = f"it left no {row.folder / RECORD}"
    except UserError as error:
        row.failure = str(error)
    with tqdm.external_write_mode(sys.stderr):
        print(line if row.finished else line + str(row.failure), flush=True)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises `KeyboardInterrupt`, or the processes started here would outlive this one."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_held(folder: Path) -> bool:
    """Whether a process is at work in a run's folder at this moment."""
    if not (folder / RUN_LOCK).exists():
        return False
    try:
        with FileLock(folder / RUN_LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _failure(row: Row, status: int) -> str | None:
    """Why a row that ended with ``status`` left no record; None if it left one."""
    if status == 0:
        return None
    log = row.folder / LOG
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no word of why")
    return f"{last.removeprefix('ganstoch: ')} (status {status}; see {log})"


def _result(record: Record) -> str:
    m = record.metrics
    if "modes/count" in m:
        result = f"{m['modes/count']:.0f} of {m['modes/of']:.0f} modes, "
        result += f"{m['modes/good_share']:.1%} good"
    else:
        result = f"overfitting {m['overfitting/pixel_l1/mean']:.2f}, "
        result += f"mode drop {m['mode_drop/pixel_l1/mean']:.2f}"
    return f"{result}, {record.iterations:,} iterations, {record.seconds:.0f} s"


def _share(row: Row) -> float:
    """How much of a running row is done."""
    try:
        state = json.loads((row.folder / "progress.json").read_bytes())
        return min(1.0, float(state["iteration"]) / float(state["of"]))
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return 0.0  # it has not got that far
