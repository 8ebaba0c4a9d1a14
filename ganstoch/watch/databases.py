"""SQLite databases, opened to read only: trackio's, in both of its layouts, and MLflow's."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from ganstoch.watch.series import Log, Row
from ganstoch.watch.steps import Clock
from ganstoch.watch.tables import flat, number

_TRACKIO = {"id", "run_name", "metrics"}
_MLFLOW = {"key", "value", "step", "run_uuid", "is_nan"}


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _opened(path: Path) -> closing[sqlite3.Connection]:
    place = f"file:{quote(str(path.absolute()))}?mode=ro"
    return closing(sqlite3.connect(place, uri=True, timeout=5))


class DatabaseRows:
    """One run's metrics."""

    def __init__(
        self, log: Log, path: Path, run: tuple[str, ...], columns: tuple[str, ...]
    ) -> None:
        self._log, self._path, self._run, self._columns = log, path, run, columns
        self._clock, self._last = Clock(), 0
        log.unit = "step"

    def rows(self) -> Iterator[Row]:
        """What is new."""
        named = {"run_uuid", "project_name", "run_name", "run_id"} & set(self._columns)
        where = " AND ".join(f"{name} IS ?" for name in sorted(named))
        step = "step" if "step" in self._columns else "NULL"
        finite = "CASE WHEN is_nan THEN 'nan' ELSE value END"  # MLflow writes NaN as 0
        what = f"key, {finite}" if "key" in self._columns else "metrics, NULL"
        query = f"SELECT rowid, {step}, {what} FROM metrics WHERE rowid > ? AND {where}"
        query += " ORDER BY rowid"
        try:
            with _opened(self._path) as database:
                for at, step, name, value in database.execute(query, (self._last, *self._run)):
                    self._last = at
                    if numbers := self._numbers(name, value):
                        inside = self._clock.step(numbers)
                        yield (number(step) if step is not None else inside), numbers
        except sqlite3.Error as error:
            self._log.note(f"the database could not be read to its end: {error}")

    def _numbers(self, name: str, value: object) -> dict[str, float]:
        if "key" in self._columns:
            read = number(value)
            return {} if read is None else {str(name): read}
        try:
            content = json.loads(name)
        except (ValueError, TypeError, RecursionError):
            self._log.note("rows that are no JSON are passed over")
            return {}
        return flat(content) if isinstance(content, dict) else {}


def runs_of(path: Path) -> Iterator[tuple[Log, DatabaseRows]]:
    """The runs of a database; none if it is of another kind."""
    try:
        with _opened(path) as database:
            # Not of a view, which may have no end.
            tables = "sqlite_master, pragma_table_info(sqlite_master.name) AS info"
            which = "sqlite_master.type = 'table' AND sqlite_master.name = 'metrics'"
            query = f"SELECT info.name FROM {tables} WHERE {which}"
            columns = tuple(name for (name,) in database.execute(query))
            if not (set(columns) >= _TRACKIO or set(columns) >= _MLFLOW):
                return
            named = {"run_uuid", "project_name", "run_name", "run_id"} & set(columns)
            names = ", ".join(sorted(named))
            runs = list(database.execute(f"SELECT DISTINCT {names} FROM metrics LIMIT 1000"))
    except sqlite3.Error:
        return
    kind = "trackio" if set(columns) >= _TRACKIO else "MLflow"
    for run in runs:
        names = "/".join(str(name) for name in run if name is not None)
        log = Log(Path(f"{path}/{names}"), kind)
        yield log, DatabaseRows(log, path, run, columns)
