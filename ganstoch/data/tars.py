"""Members of tar archives, plain or gzipped, one or several shards, read where they lie."""

import io
import tarfile
import threading
import weakref
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from ganstoch.data.containers import DATASET_JSON, Files, refuse_bomb
from ganstoch.data.decoding import Member, progress
from ganstoch.data.files import PassedOver, is_image, safe_name, top_folder
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
_CHUNK = 2**14  # packed bytes that are unpacked at once: 16 MiB at most
_MARK = 2**25  # unpacked bytes between places from which unpacking can start
_KEPT = 2**23  # unpacked bytes behind the place that stay, as threads ask a little out of order
_RATIO, _SUSPECT = 200, 2**30  # as in `containers`, of a whole archive


class _Mark(NamedTuple):
    at: int  # unpacked bytes before it
    packed: int  # place in the file
    state: Any  # of the decompressor there


class GzipStream(io.RawIOBase):
    """A gzip file unpacked as it is read, from any place at the cost of 32 MiB at most."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._marks = [_Mark(0, 0, zlib.decompressobj(31))]
        self._at = self._told = 0  # of the reader, and packed bytes that `packed` has told
        self._go(self._marks[0])

    def _go(self, mark: _Mark) -> None:
        self._file.seek(mark.packed)
        self._state = mark.state.copy()
        self._start, self._buffer, self._ended = mark.at, bytearray(), False

    def _more(self) -> None:
        """Unpacks one chunk more."""
        packed = self._file.tell()
        reached = self._start + len(self._buffer)
        if reached >= self._marks[-1].at + _MARK and not self._state.unused_data:
            self._marks.append(_Mark(reached, packed, self._state.copy()))
        chunk = self._file.read(_CHUNK)
        if not chunk:
            if not self._state.eof and reached:
                raise EOFError("the archive ends too early")
            self._ended = True
            return
        while chunk:
            if self._state.eof:  # another gzip file may follow the first, or zeros
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
                self._state = zlib.decompressobj(31)
            self._buffer += self._state.decompress(chunk)
            chunk = self._state.unused_data
        reached = self._start + len(self._buffer)
        if reached > _SUSPECT and reached > _RATIO * self._file.tell():
            raise ValueError(f"unpacks to more than {reached / 2**30:.0f} GiB: too large")

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place, counted from the beginning or from here."""
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """That many bytes, or those that are left."""
        best = self._marks[bisect_right(self._marks, self._at, key=lambda mark: mark.at) - 1]
        if self._at < self._start or best.at > self._start + len(self._buffer):
            self._go(best)
        end = self._at + size
        while not self._ended and self._start + len(self._buffer) < end:
            # Now and then, for the rest is moved.
            if (excess := min(len(self._buffer), self._at - self._start) - _KEPT) > _KEPT:
                del self._buffer[:excess]
                self._start += excess
            self._more()
        first = self._at - self._start
        content = bytes(self._buffer[first : first + size])
        self._at += len(content)
        return content

    def packed(self) -> int:
        """Packed bytes that were unpacked since the last call."""
        before, self._told = self._told, self._file.tell()
        return self._told - before

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


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


class _Place(NamedTuple):
    shard: int
    offset: int
    size: int


class TarFiles(Files):
    """Image files of tar archives; one pass makes an index. Names begin with a shard's, if any."""

    def __init__(self, paths: Sequence[Path], *, where: str) -> None:
        self.path, self.where, self.passed = paths[0], where, PassedOver()
        self.has_folders = len(paths) == 1
        self._lock = threading.Lock()
        self._streams: list[Any] = []
        weakref.finalize(self, _close, self._streams)
        self._members: dict[str, _Place] = {}
        self._told: dict[str, Label | None] = {}  # what members that may name a class say
        size = sum(path.stat().st_size for path in paths)
        with progress(None, f"looking at {where}", size, unit="B", unit_scale=True) as bar:
            for shard, path in enumerate(paths):
                prefix = f"{path.name.split('.')[0]}/" if len(paths) > 1 else ""
                try:
                    is_packed = path.name.lower().endswith("gz")
                    self._streams.append(GzipStream(path) if is_packed else path.open("rb"))
                    self._index(shard, prefix, bar)
                except PermissionError as error:
                    raise UserError(f"may not read {path}; change its permissions") from error
                except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
                    why = f"no tar archive, or damaged ({error})"
                    raise UserError(f"cannot read {path}: {why}") from error
        self.names = sorted(self._members)
        self.top = top_folder(self.names)
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
        elif name == DATASET_JSON and member.size <= MOST_BYTES:
            stream.seek(member.offset_data)
            self.labels = of_dataset_json(stream.read(member.size), where=self.where)
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
