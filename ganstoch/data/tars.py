"""Members of tar archives, plain or gzipped, one or several shards, read where they lie."""

import io
import tarfile
import threading
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from ganstoch.data.containers import DATASET_JSON, Files, list_folder, refuse_bomb
from ganstoch.data.decoding import Member, progress
from ganstoch.data.files import PassedOver, is_image, safe_name, top_folder
from ganstoch.data.gzip_stream import GzipStream
from ganstoch.data.labels import (
    MEMBERS,
    MOST_BYTES,
    MOST_MEMBER_BYTES,
    Label,
    key_of,
    of_dataset_json,
    of_member,
    of_members,
)
from ganstoch.errors import UserError

_HEADER = 2**20  # bytes that tarfile may ask for at once: it reads headers alone


class _Headers:
    """A stream of which no more than a header can be asked for: a name may not fill the memory."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        content: bytes = self._stream.read(size)
        return content


def _close(streams: list[Any]) -> None:
    for stream in streams:
        stream.close()


def _prefixes(paths: Sequence[Path]) -> list[str]:
    """What the names in each shard begin with, so that no two shards share one."""
    names = [path.name.split(".")[0] for path in paths]
    if len(set(names)) < len(names):
        names = [path.as_posix() for path in paths]
    return [f"{name}/" for name in names] if len(paths) > 1 else [""]


class _Place(NamedTuple):
    shard: int
    offset: int
    size: int


class TarFiles(Files):
    """Image files of tar archives; one pass makes an index. Names begin with a shard's, if any."""

    def __init__(self, paths: Sequence[Path], *, where: str, option: str) -> None:
        self.path, self.where, self.passed = paths[0], where, PassedOver()
        self.has_folders = len(paths) == 1
        self._lock = threading.Lock()
        self._streams: list[Any] = []
        weakref.finalize(self, _close, self._streams)
        self._members: dict[str, _Place] = {}
        self._told: dict[str, Label | None] = {}  # what members that may name a class say
        self._lists: dict[str, _Place] = {}  # of labels, by their folder with its slash
        prefixes = _prefixes(paths)
        size = sum(path.stat().st_size for path in paths)
        with progress(None, f"looking at {option}", size, unit="B", unit_scale=True) as bar:
            for shard, (path, prefix) in enumerate(zip(paths, prefixes, strict=True)):
                try:
                    self.is_packed = path.name.lower().endswith("gz")
                    self._streams.append(GzipStream(path) if self.is_packed else path.open("rb"))
                    self._index(shard, prefix, bar)
                except PermissionError as error:
                    raise UserError(f"may not read {path}; change its permissions") from error
                except UserError:
                    raise
                except RecursionError as error:  # headers that each announce another
                    raise UserError(f"cannot read {path}: damaged") from error
                except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
                    why = f"no tar archive, or damaged ({error})"
                    raise UserError(f"cannot read {path}: {why}") from error
        self.names = sorted(self._members)
        self.top = top_folder(self.names)
        for folder, place in self._lists.items():
            if folder in ("", self.top) or folder in prefixes:
                labels = of_dataset_json(self._open(place).read(), where=self.where)
                self.labels = dict(self.labels or {}) | {folder + n: labels[n] for n in labels}
            else:
                self.passed.add(folder + DATASET_JSON)
        self._places = [self._members[name] for name in self.names]
        self.order = [0] * len(self.names)
        for rank, i in enumerate(sorted(range(len(self.names)), key=lambda i: self._places[i])):
            self.order[i] = rank
        if self.labels is None:
            told = {name: label for name, label in self._told.items() if label is not None}
            self.labels = of_members(told, self.names)
        used = {key_of(name) for name in self.labels or ()}
        for name in self._told:
            if key_of(name) not in used:
                self.passed.add(name)

    def _index(self, shard: int, prefix: str, bar: Any) -> None:
        stream = self._streams[-1]
        with tarfile.open(fileobj=_Headers(stream), mode="r:") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                archive.members = []  # an index of its own would grow
                self._add(shard, prefix, member)
                bar.update(stream.packed() if isinstance(stream, GzipStream) else 512 + member.size)
            stream.seek(archive.offset)
            if stream.read(512).strip(b"\0"):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError(f"no header at {archive.offset:,}")

    def _add(self, shard: int, prefix: str, member: tarfile.TarInfo) -> None:
        stream, name = self._streams[shard], safe_name(member.name)
        if member.isdir():
            return
        if name is None:
            self.passed.add(member.name, "unsafe names")
        elif member.issym() or member.islnk():
            self.passed.add(name, "links")
        elif not member.isreg() or member.issparse():
            self.passed.add(name, "devices and the like")
        elif (folder := list_folder(name)) is not None and member.size <= MOST_BYTES:
            self._lists[prefix + folder] = _Place(shard, member.offset_data, member.size)
        elif name.endswith(MEMBERS) and member.size <= MOST_MEMBER_BYTES:
            stream.seek(member.offset_data)
            self._told[prefix + name] = of_member(stream.read(member.size))
        elif is_image(name, self.passed):
            if prefix + name in self._members:
                self.passed.add(name, "repeated names")  # the last counts, as when unpacked
            self._members[prefix + name] = _Place(shard, member.offset_data, member.size)

    def __getitem__(self, i: int) -> Member:
        return Member(f"{self.where}/{self.names[i]}", lambda: self._open(self._places[i]))

    def _open(self, place: _Place) -> IO[bytes]:
        refuse_bomb(place.size)
        with self._lock:
            stream = self._streams[place.shard]
            stream.seek(place.offset)
            content = stream.read(place.size)
        if len(content) < place.size:
            raise ValueError("the archive ends too early")
        return io.BytesIO(content)
