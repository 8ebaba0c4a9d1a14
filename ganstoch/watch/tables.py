"""CSV, such as Lightning's metrics.csv, JSON lines, such as StyleGAN's stats.jsonl, and JSON."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ganstoch.watch.series import Log, Row
from ganstoch.watch.steps import Clock

_DELIMITERS = (",", "\t", ";")
# A whole number in groups, as 12,600; of a smaller one a comma may as well be a decimal's.
GROUPED = r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?!\w)"
_SNAPSHOT = re.compile(r"(\d+)\.pkl$")  # of StyleGAN's metric-*.jsonl: thousands of images


def number(value: Any) -> float | None:
    """A value of a log as a number; None if it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str) and re.fullmatch(GROUPED, value.strip()):
        value = value.replace(",", "")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def flat(value: Mapping[str, Any], prefix: str = "", depth: int = 4) -> dict[str, float]:
    """The numbers of nested objects, names joined by ``/``; of ``{"mean": ...}`` the mean."""
    numbers: dict[str, float] = {}
    for key, item in value.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        if isinstance(item, Mapping):
            if "mean" in item:
                item = item["mean"]
            elif depth:
                numbers |= flat(item, name, depth - 1)
                continue
        if (read := number(item)) is not None and not isinstance(item, list):
            numbers[name] = read
    return numbers


class CSVRows:
    """Rows of a table whose first line names its columns."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._names: list[str] = []
        self._delimiter = ","

    def rows(self, lines: Iterable[str]) -> Iterator[Row]:
        """Those of further lines; cells that are empty or no number are left out."""
        for line in lines:
            if not line.strip() or line.startswith("#"):
                continue
            if not self._names:
                self._delimiter = max(_DELIMITERS, key=line.count)
            try:
                cells = next(csv.reader([line], delimiter=self._delimiter))
            except (csv.Error, StopIteration):
                self._log.note("lines that are no CSV are passed over")
                continue
            cells = [cell.strip() for cell in cells]
            point = "," if self._delimiter == ";" else "."  # of a decimal
            values = [number(cell.replace(point, ".")) for cell in cells]
            shared = {*cells} & {*self._names} - {""}
            if not self._names or (shared and not any(value is not None for value in values)):
                unnamed = None not in values
                self._names = [f"column {i}" for i, _ in enumerate(cells, 1)] if unnamed else cells
                if not unnamed:
                    continue
            if len(cells) != len(self._names):
                self._log.note("lines with more or fewer cells than columns: cut off, or not ours")
            pairs = zip(self._names, values, strict=False)
            numbers = {name: value for name, value in pairs if name and value is not None}
            if numbers:
                yield self._clock.step(numbers), numbers


def json_rows(lines: Iterable[str], log: Log, clock: Clock) -> Iterator[Row]:
    """A row for each line's object."""
    for line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            log.note("lines that are no JSON object, or are cut off, are passed over")
            continue
        numbers = flat(value.get("results", value) if "snapshot_pkl" in value else value)
        if snapshot := _SNAPSHOT.search(str(value.get("snapshot_pkl", ""))):
            numbers["kimg"] = float(snapshot[1])
        if numbers:
            yield clock.step(numbers), numbers


def document_rows(content: Any, clock: Clock) -> Iterator[Row]:
    """Rows of a whole JSON document: a list of objects, or an object of columns.

    The ``signals`` of our own diagnosis.json are named ``diagnosis/...``, as in other logs.
    """
    if isinstance(content, dict) and isinstance(content.get("signals"), dict):
        ours = content["signals"].items()
        content = {n if n == "iteration" else f"diagnosis/{n}": column for n, column in ours}
    if isinstance(content, dict) and isinstance(content.get("history"), list):
        content = content["history"]  # of a record.json
    if isinstance(content, dict):
        columns = {name: column for name, column in content.items() if isinstance(column, list)}
        length = max(map(len, columns.values()), default=0)
        content = [
            {name: column[i] for name, column in columns.items() if i < len(column)}
            for i in range(length)
        ]
    for row in content if isinstance(content, list) else []:
        if isinstance(row, dict) and (numbers := flat(row)):
            yield clock.step(numbers), numbers
