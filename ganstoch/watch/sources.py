"""Where logs are: a file of any kind, or a folder, which is looked through."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from ganstoch.errors import UserError
from ganstoch.watch.databases import is_database, runs_of
from ganstoch.watch.mlflow_store import MLflowRows
from ganstoch.watch.series import Log, Row
from ganstoch.watch.steps import Clock
from ganstoch.watch.tables import CSVRows, document_rows, json_rows
from ganstoch.watch.tail import Tail, decoded
from ganstoch.watch.tensorboard_events import EventRows
from ganstoch.watch.text import TextRows, pairs_of
from ganstoch.watch.wandb_run import WandbRows

_MOST_FILES = 20_000
_LARGEST_DOCUMENT = 64 << 20  # bytes of JSON that is no JSON lines
_TEXTS = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt", ".log", ".out", ".err"}
_JSON_LINES = {".jsonl", ".ndjson", ".json"}  # even if the first line is cut off
_ENDINGS = _TEXTS | {".db", ".sqlite", ".sqlite3", ".wandb"}


@dataclass(frozen=True)
class Source:
    """A log and the way to read what is new of it."""

    log: Log
    rows: Callable[[], Iterable[Row]]
    files: tuple[Path, ...] = ()  # that there were

    def read(self) -> bool:
        """Takes up what is new; returns whether there was anything."""
        try:
            return self.log.add(self.rows())
        except OSError as error:
            self.log.note(f"it cannot be read: {error.strerror}")
            return False


def sources(path: Path, *, waits: bool = False, step: str | None = None) -> list[Source]:
    """The logs of a file or a folder; ``waits`` if they are still written, ``step`` names theirs.

    A `UserError` if there is no such place.
    """
    if not path.exists():
        raise UserError(f"there is no log {path}; give a file, or a folder that holds one")
    if path.is_file():
        return _of_file(path, waits=waits, step=step)
    files = sorted(_walk(path))
    events = [file for file in files if "tfevents" in file.name]
    stores = {file.parent for file in files if file.name == "meta.yaml"}
    found = [_of_events(folder, own) for folder, own in _by_run(events).items()]
    for store in sorted(store for store in stores if (store / "metrics").is_dir()):
        log = Log(store, "MLflow")
        found.append(Source(log, MLflowRows(log, store, waits=waits).rows))
    for file in files:
        if "tfevents" not in file.name and not stores & set(file.parents):
            found += _of_file(file, waits=waits, step=step)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """What may be a log, by its name."""
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += len(names)
        if count > _MOST_FILES:
            fix = "give one of its folders"
            raise UserError(f"{folder} holds over {_MOST_FILES:,} files; {fix}")
        for path in (Path(place, name) for name in names):
            known = path.suffix in _ENDINGS or path.name == "meta.yaml" or "tfevents" in path.name
            if known and path.is_file():
                yield path


def _by_run(events: list[Path]) -> dict[Path, list[Path]]:
    """Event files by folder; those that `add_scalars` put into folders below belong to that above.

    Such a folder is named for the one tag within, which protobuf writes after its length.
    """
    runs: dict[Path, list[Path]] = {}
    folders = {file.parent for file in events}
    for file in events:
        with file.open("rb") as opened:
            head = opened.read(1 << 12).replace(b"/", b"_")
        words, folder = file.parent.name.split("_"), file.parent
        tags = ["_".join(words[:count]).encode()[:127] for count in range(1, len(words))]
        named = any(b"\n" + bytes([len(tag)]) + tag in head for tag in tags)
        top = folder.parent if named and folder.parent in folders else folder
        runs.setdefault(top, []).append(file)
    return runs


def _of_events(place: Path, files: list[Path]) -> Source:
    log = Log(place, "TensorBoard")
    return Source(log, EventRows(log, files).rows, tuple(files))


def _of_file(path: Path, *, waits: bool, step: str | None) -> list[Source]:
    try:
        return list(_of_kind(path, waits=waits, step=step))
    except OSError as error:
        log = Log(path, "unknown")
        log.note(f"it cannot be read: {error.strerror}")
        return [Source(log, lambda: ())]


def _of_kind(path: Path, *, waits: bool, step: str | None) -> Iterator[Source]:
    if "tfevents" in path.name:
        yield _of_events(path, [path])
    elif path.suffix == ".wandb":
        log = Log(path, "W&B")
        yield Source(log, WandbRows(log, path).rows)
    elif is_database(path):
        for log, database in runs_of(path):
            yield Source(log, database.rows)
    else:
        yield _of_text(path, waits=waits, step=step)


def _of_text(path: Path, *, waits: bool, step: str | None) -> Source:
    with path.open("rb") as file:
        raw = file.read(1 << 16)
    head = decoded(raw, head=raw)
    if "\0" in head:
        log = Log(path, "binary")
        log.note("it holds bytes that are no text: no log of a kind that is read")
        return Source(log, lambda: ())
    first = next((line for line in head.splitlines() if line.strip()), "")
    clock, paths = Clock(step), [path]
    if path.suffix == ".json" and not (_is_object(first) and "\n" in head.strip()):
        return _of_document(path, clock)
    if _is_object(first) or (first.lstrip()[:1] == "{" and path.suffix in _JSON_LINES):
        log = Log(path, "JSON lines")
        read: Callable[[Iterable[str]], Iterator[Row]] = partial(json_rows, log=log, clock=clock)
        if path.name == "stats.jsonl":  # StyleGAN's metrics lie beside its losses, a file each
            paths += sorted(path.parent.glob("metric-*.jsonl"))
    elif path.suffix in (".csv", ".tsv") or _is_header(first):
        log = Log(path, "CSV")
        read = CSVRows(log, clock).rows
    else:
        log = Log(path, "text")
        read = TextRows(clock).rows
    tails = [Tail(place, waits=waits) for place in paths]

    def rows() -> Iterator[Row]:
        for tail in tails:
            lines = tail.lines()
            first = next(lines, None)
            if tail.is_new:
                log.clear()
                log.note(f"{tail.path.name} was written anew: what it held before is forgotten")
            if first is not None:
                yield from read(chain([first], lines))
        log.unit = clock.unit

    return Source(log, rows, tuple(paths))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_header(line: str) -> bool:
    """Whether a first line has names alone, and several."""
    cells = max((line.split(mark) for mark in (",", "\t", ";")), key=len)
    said = any(mark in line for mark in ("=", ": ")) or pairs_of(line)
    return len(cells) > 1 and not said and all(cells)


def _of_document(path: Path, clock: Clock) -> Source:
    log = Log(path, "JSON")
    seen: list[float] = []

    def rows() -> Iterator[Row]:
        changed = path.stat().st_mtime
        if changed in seen:
            return
        seen[:] = [changed]
        if path.stat().st_size > _LARGEST_DOCUMENT:
            log.note(f"a JSON document of over {_LARGEST_DOCUMENT >> 20} MiB is not read")
            return
        log.clear()
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            log.note("it is no JSON, or is cut off")
            return
        yield from document_rows(content, clock)
        log.unit = clock.unit

    return Source(log, rows)
