"""What holds image files, opened one by one from any thread: a folder, or a zip archive."""

import stat
import weakref
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ganstoch.data.decoding import Member
from ganstoch.data.files import PassedOver, is_image, list_images, safe_name, top_folder
from ganstoch.data.labels import MOST_BYTES, Labels, of_dataset_json
from ganstoch.errors import UserError

_LARGEST = 2**28  # bytes that a member may unpack to
_RATIO = 200  # of a member's bytes to those it is packed in, from which on, beyond the next, it is
_SUSPECT = 2**24  # made to fill a memory
DATASET_JSON = "dataset.json"


class Files(ABC):
    """Image files by their names, in order."""

    where: str  # what messages call it
    path: Path | None = None
    names: Sequence[str]  # sorted by code point, or in the order of a table's rows
    passed: PassedOver
    labels: Labels | None = None  # of images, where there is a list of them; else folders tell
    top: str = ""  # folder that all lie in, with its slash, where that is no class
    has_folders: bool = True  # whether names are paths, whose first folder may be a class
    order: Sequence[int] | None = None  # where each lies, if reading in that order is cheaper
    is_packed: bool = False  # whether going back costs unpacking anew

    @abstractmethod
    def __getitem__(self, i: int) -> Path | Member:
        """The file of the i-th name."""


class FolderFiles(Files):
    """Image files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = self.path = root
        self.where = str(root)
        self.names, self.passed = list_images(root)
        beside = root / DATASET_JSON
        if beside.is_file() and beside.stat().st_size <= MOST_BYTES:
            self.labels = of_dataset_json(beside.read_bytes(), where=self.where)
            self.passed.used(DATASET_JSON)

    def __getitem__(self, i: int) -> Path:
        return self._root / self.names[i]


class ZipFiles(Files):
    """Members of a zip archive; its directory is read once, members when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.where, self.passed = path, str(path), PassedOver()
        try:
            self._zip = zipfile.ZipFile(path)
        except PermissionError as error:
            raise UserError(f"may not read {path}; change its permissions") from error
        except Exception as error:  # a damaged file raises almost anything
            raise UserError(f"cannot read {path}: no zip archive, or damaged ({error})") from error
        weakref.finalize(self, self._zip.close)
        members: dict[str, zipfile.ZipInfo] = {}
        lists: dict[str, zipfile.ZipInfo] = {}  # of labels, by their folder with its slash
        for info in self._zip.infolist():
            name = safe_name(info.filename.replace("\\", "/"))
            if info.is_dir():
                continue
            if name is None:
                self.passed.add(info.filename, "unsafe names")
            elif stat.S_ISLNK(info.external_attr >> 16):
                self.passed.add(name, "links")
            elif (folder := list_folder(name)) is not None and info.file_size <= MOST_BYTES:
                lists[folder] = info
            elif name in members:
                self.passed.add(name, "repeated names")  # the last counts, as when unpacked
                members[name] = info
            elif is_image(name, self.passed):
                members[name] = info
        self.names = sorted(members)
        self.top = top_folder(self.names)
        for folder, info in lists.items():
            if folder in ("", self.top):
                labels = self._labels(info)
                self.labels = dict(self.labels or {}) | {folder + n: labels[n] for n in labels}
            else:
                self.passed.add(folder + DATASET_JSON)
        self._infos = [members[name] for name in self.names]

    def __getitem__(self, i: int) -> Member:
        info = self._infos[i]
        return Member(f"{self.where}/{self.names[i]}", lambda: self._open(info))

    def _open(self, info: zipfile.ZipInfo) -> IO[bytes]:
        if info.flag_bits & 1:
            raise ValueError("encrypted")
        refuse_bomb(info.file_size, packed=info.compress_size)
        return self._zip.open(info)

    def _labels(self, info: zipfile.ZipInfo) -> Labels:
        try:
            content = self._open(info).read()
        except Exception as error:  # idem
            raise UserError(f"cannot read {DATASET_JSON} of {self.where} ({error})") from error
        return of_dataset_json(content, where=self.where)


def list_folder(name: str) -> str | None:
    """The folder of a ``dataset.json``, "" or one with its slash; None of any other file."""
    folder, slash, file = name.rpartition("/")
    return folder + slash if file == DATASET_JSON and "/" not in folder else None


def refuse_bomb(size: int, *, packed: int | None = None) -> None:
    """A ValueError for a member that unpacks to more than a picture takes."""
    inflated = packed is not None and size > _SUSPECT and size > _RATIO * packed
    if size > _LARGEST or inflated:
        raise ValueError(f"unpacks to {size / 2**20:,.0f} MiB: too large to unpack safely")
