"""A gzip file that can be read from any place, without unpacking it to disk or into memory."""

import io
import zlib
from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

_CHUNK = 2**14  # packed bytes that are unpacked at once: 16 MiB at most
_MARK = 2**25  # unpacked bytes between places from which unpacking can start
_KEPT = 2**23  # unpacked bytes behind the place that stay, as threads ask a little out of order
_RATIO, _SUSPECT = 200, 2**30  # a file beyond both is made to fill a disk


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
