"""Images in the rows of parquet files, or of a data set of the Hugging Face hub."""

import contextlib
import io
import json
import logging
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ganstoch.data.containers import Files, refuse_bomb
from ganstoch.data.decoding import Member
from ganstoch.data.files import PassedOver
from ganstoch.data.labels import Labels, label_or_none
from ganstoch.errors import UserError
from ganstoch.locations import Location, require

_ROWS = 32  # that are read at once
_BATCHES = 6  # that stay in memory: threads ask a little out of order
_MOST_ROWS = 10**7  # beyond it, a file that announces more rows than it has bytes is damaged
_BUFFER = 2**20  # bytes of a column that are read ahead
LABEL = "label"


class ParquetFiles(Files):
    """Encoded images of a column, in the order of the rows, which are read as they are asked for.

    The column holds ``struct<bytes, path>``, as the datasets library writes it, or the bytes.
    """

    has_folders = False

    def __init__(self, paths: Sequence[Path], *, where: str, column: str | None) -> None:
        self.path, self.where, self.passed = paths[0], where, PassedOver()
        with told(where):
            self._files = [open_parquet(path) for path in paths]
            self._column = self._choose(column)
            # Row groups in turn: file, group and rows before it.
            self._groups: list[tuple[Any, int]] = []
            self._starts = [0]
            for file in self._files:
                for group in range(file.num_row_groups):
                    self._groups.append((file, group))
                    self._starts.append(self._starts[-1] + file.metadata.row_group(group).num_rows)
            rows, size = self._starts[-1], sum(path.stat().st_size for path in paths)
            if rows > max(_MOST_ROWS, size):
                raise ValueError(f"announces {rows:,} rows in {size:,} bytes")
            self._lock = threading.Lock()
            self._kept: OrderedDict[tuple[int, int], list[bytes | None]] = OrderedDict()
            self._next: tuple[int, int] = (-1, 0)  # group and batch that comes next
            self._batches: Iterator[list[bytes | None]] = iter(())
            self.names = [f"#{i}" for i in range(self._starts[-1])]
            self.labels = labels_of(self._files, self.names)

    def _choose(self, column: str | None) -> str:
        import pyarrow as pa

        schema = self._files[0].schema_arrow
        features = features_of(schema)
        found = [name for name, kind in features.items() if kind.get("_type") == "Image"]
        if not found:
            found = [field.name for field in schema if _holds_bytes(pa, field.type)]
        return one_column(column, found, where=self.where, names=schema.names, what="images")

    def __getitem__(self, i: int) -> Member:
        return Member(f"{self.where}/{self.names[i]}", lambda: self._open(i))

    def _open(self, i: int) -> IO[bytes]:
        group = bisect_right(self._starts, i) - 1
        batch, place = divmod(i - self._starts[group], _ROWS)
        with self._lock:
            if (group, batch) not in self._kept:
                self._load(group, batch)
            content = self._kept[group, batch][place]
        if content is None:
            raise ValueError("its row holds no bytes")
        refuse_bomb(len(content))
        return io.BytesIO(content)

    def _load(self, group: int, batch: int) -> None:
        """Goes forward to a batch of a row group, from its beginning if need be."""
        if self._next[0] != group or self._next[1] > batch:
            self._batches, self._next = self._read(*self._groups[group]), (group, 0)
        while self._next[1] <= batch:
            self._kept[self._next] = next(self._batches)
            self._next = (group, self._next[1] + 1)
            while len(self._kept) > _BATCHES:
                self._kept.popitem(last=False)

    def _read(self, file: Any, group: int) -> Iterator[list[bytes | None]]:
        """A row group's contents, so many at a time, however the reader cuts them."""
        contents: list[bytes | None] = []
        for some in file.iter_batches(_ROWS, [group], columns=[self._column]):
            rows = some.column(0).to_pylist()
            contents += [row.get("bytes") if isinstance(row, dict) else row for row in rows]
            while len(contents) >= _ROWS:
                yield contents[:_ROWS]
                del contents[:_ROWS]
        if contents:
            yield contents


class HubFiles(Files):
    """Images of a split of a data set of the hub, through the datasets library, never by code."""

    has_folders = False

    def __init__(self, location: Location) -> None:
        self.where, self.passed = location.text, PassedOver()
        self._rows = _load_split(location)
        features = self._rows.features
        found = [name for name, kind in features.items() if type(kind).__name__ == "Image"]
        self._column = one_column(
            location.key, found, where=self.where, names=list(features), what="images"
        )
        import datasets

        self._rows = self._rows.cast_column(self._column, datasets.Image(decode=False))
        self.names = [f"#{i}" for i in range(len(self._rows))]
        if LABEL in features:
            is_label = type(features[LABEL]).__name__ in ("ClassLabel", "Value")
            values = self._rows[LABEL][:] if is_label else [None] * len(self.names)
            self.labels = _named(self.names, values, getattr(features[LABEL], "names", None))

    def __getitem__(self, i: int) -> Member:
        return Member(f"{self.where}/{self.names[i]}", lambda: self._open(i))

    def _open(self, i: int) -> IO[bytes]:
        row = self._rows[i][self._column]
        if row is None or (row["bytes"] is None and row["path"] is None):
            raise ValueError("its row holds no image")
        if row["bytes"] is not None:
            return io.BytesIO(row["bytes"])
        # What a data set calls a path may be any file of this machine.
        import datasets

        path, home = Path(row["path"]).resolve(), Path(datasets.config.HF_CACHE_HOME).resolve()
        if not path.is_relative_to(home):
            raise ValueError(f"it lies outside of {home}")
        return path.open("rb")


def labels_of(files: Sequence[Any], names: Sequence[str]) -> Labels | None:
    """Labels of the column ``label`` of parquet files; None where none of them has it."""
    import pyarrow as pa

    schemas, values = [file.schema_arrow for file in files], list[Any]()
    if not any(LABEL in schema.names for schema in schemas):
        return None
    for file, schema in zip(files, schemas, strict=True):
        kind, types = schema.field(LABEL).type if LABEL in schema.names else None, pa.types
        # Others may be large: maps of labels, or pictures.
        if kind and (
            types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)
        ):
            values += file.read(columns=[LABEL])[LABEL].to_pylist()
        else:
            values += [None] * file.metadata.num_rows
    return _named(names, values, features_of(schemas[0]).get(LABEL, {}).get("names"))


def _named(names: Sequence[str], values: Sequence[Any], classes: Any) -> Labels:
    """Labels by name, as the ``classes`` are called, if there are any."""
    if classes is not None:
        called = dict(enumerate(classes if isinstance(classes, list) else ()))
        values = [called.get(value) if type(value) is int else None for value in values]
    return dict(zip(names, map(label_or_none, values), strict=True))


def _load_split(location: Location) -> Any:
    require("datasets", extra="datasets", what=location.text)
    import datasets

    hub = logging.getLogger("huggingface_hub")  # of which each try to connect would be a line
    level = hub.level
    hub.setLevel(logging.CRITICAL)
    try:
        split = location.split
        if split is None:
            splits = list(datasets.load_dataset_builder(location.name).info.splits or ())
            if len(splits) != 1:
                names = ", ".join(map(str, splits)) or "none that it names"
                fix = f"name one, as hf:{location.name}:SPLIT"
                raise UserError(f"{location.text} has several splits: {names}; {fix}")
            split = str(splits[0])
        return datasets.load_dataset(location.name, split=split)
    except UserError:
        raise
    except Exception as error:  # of the net, the cache, the hub, or of what it holds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        fix = "check the name, the split and the connection; offline, what the cache holds is taken"
        raise UserError(f"cannot load {location.text} ({first}); {fix}") from error
    finally:
        hub.setLevel(level)


def open_parquet(path: Path) -> Any:
    """A file's reader, whose columns are read in small parts."""
    require("pyarrow", extra="datasets", what=str(path))
    import pyarrow.parquet as parquet

    with told(path):
        return parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)


@contextlib.contextmanager
def told(where: object) -> Iterator[None]:
    """What pyarrow raises for a file that cannot be read, as a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"may not read {where}; change its permissions") from error
    except Exception as error:  # a damaged file raises almost anything
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"cannot read {where}: no parquet file, or damaged ({first})") from error


def features_of(schema: Any) -> dict[str, dict[str, Any]]:
    """What the datasets library wrote of each column; empty where another program wrote."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])["info"]
        return {n: kind for n, kind in info["features"].items() if isinstance(kind, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def one_column(
    stated: str | None, found: Sequence[str], *, where: str, names: Sequence[str], what: str
) -> str:
    """The column that was stated, or the only one found; else a `UserError` that names them."""
    if stated is not None:
        if stated in names:
            return stated
        raise UserError(f"{where} names no column; there are {', '.join(names)}")
    if len(found) == 1:
        return found[0]
    several = f"has several columns of {what}: {', '.join(found)}"
    none = f"has no column of {what}, but {', '.join(names)}"
    raise UserError(f"{where} {several if found else none}; name one after a colon")


def _holds_bytes(pa: Any, kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(pa, field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
