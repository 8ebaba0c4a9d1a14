"""A text file that may still be written: each look reads what is new."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

_LONGEST = 1 << 20  # bytes of a line
_HEAD = 1 << 16  # bytes by which a file is known again: more than a table's first line


def decoded(raw: bytes, *, head: bytes) -> str:
    """Text of a file that begins with ``head``.

    PowerShell's ``>`` writes UTF-16: names and numbers are the same without its zero bytes.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raw = raw.replace(b"\0", b"").removeprefix(head[:2])
    return raw.decode(errors="replace").strip("\ufeff\n\r")


class Tail:
    """Whole lines of a file; ``waits`` leaves the last for later while it has no end."""

    def __init__(self, path: Path, *, waits: bool = False) -> None:
        self.path = path
        self.is_new = False  # whether the file was replaced or cut since the last look
        self._waits = waits
        self._offset = 0
        self._head = b""

    def lines(self) -> Iterator[str]:
        """Those since the last look; ``is_new`` is set before the first."""
        with self.path.open("rb") as file:
            head = file.read(len(self._head))
            size = file.seek(0, 2)
            self.is_new = self._offset > 0 and (size < self._offset or head != self._head)
            if self.is_new:
                self._offset = 0
            file.seek(0)
            self._head = file.read(_HEAD)
            file.seek(self._offset)
            left, name = size - self._offset, self.path.name
            with tqdm(total=left, desc=name, delay=3, leave=False, disable=None) as bar:
                while line := file.readline(_LONGEST):
                    if self._waits and len(line) < _LONGEST and not line.endswith(b"\n"):
                        return
                    self._offset += len(line)
                    bar.update(len(line))
                    yield decoded(line, head=self._head)
