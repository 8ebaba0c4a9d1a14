"""W&B's offline runs, ``run-*.wandb``: records of protobuf in LevelDB's log format.

The package holds the records' schema and, as of 0.31, no reader. A header of 7 bytes, then blocks
of 32 KiB with chunks: CRC-32 (4 bytes), length (2), kind (1: whole, 2: first, 3: middle, 4: last).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from ganstoch.watch.series import Log, Row
from ganstoch.watch.steps import Clock
from ganstoch.watch.tables import flat

_HEADER = b":W&B"
_BLOCK = 32768
_CHUNK = struct.Struct("<IHB")


class WandbRows:
    """The history of an offline run."""

    def __init__(self, log: Log, path: Path) -> None:
        self._log, self._path, self._offset = log, path, 7
        self._clock = Clock()
        log.unit = "step"

    def rows(self) -> Iterator[Row]:
        """What is new; a record that is not whole yet is left for later."""
        from google.protobuf.message import DecodeError
        from wandb.proto.wandb_internal_pb2 import Record

        for content in self._records():
            try:
                record = Record.FromString(content)
            except DecodeError:
                self._log.note("records that are damaged are passed over")
                continue
            if record.WhichOneof("record_type") != "history":
                continue
            row = {}
            for item in record.history.item:
                try:
                    name = item.key or "/".join(item.nested_key)
                    row[name] = json.loads(item.value_json)
                except ValueError:
                    continue
            row.setdefault("_step", record.history.step.num)
            numbers = flat(row)
            yield self._clock.step(numbers), numbers

    def _records(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            if file.read(4) != _HEADER:
                self._log.note("it is no W&B run, for its first bytes are others")
                return
            file.seek(self._offset)
            parts: list[bytes] = []
            while True:
                left = _BLOCK - file.tell() % _BLOCK
                if left < _CHUNK.size:
                    file.seek(left, 1)
                head = file.read(_CHUNK.size)
                if len(head) < _CHUNK.size:
                    return
                _, length, kind = _CHUNK.unpack(head)
                part = file.read(length)
                if len(part) < length or not 1 <= kind <= 4:
                    return
                parts = [part] if kind in (1, 2) else [*parts, part]
                if kind in (1, 4):
                    self._offset = file.tell()
                    yield b"".join(parts)
