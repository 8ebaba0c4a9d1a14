"""CIFAR-10, SVHN, MNIST and Fashion-MNIST: torchvision's readers, downloads and checksums."""

from __future__ import annotations

import gzip
import math
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganstoch.data.cache import locked
from ganstoch.data.source import SIDE, ArrayImages, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

__all__ = ["CIFAR10", "FASHION", "MNIST", "SVHN", "FashionMNIST", "GreyFiles", "patience"]

PATIENCE = 60.0
"""Seconds to wait for a server that says nothing; urllib alone would wait for ever."""
_WIDTH = 28
"""Height and width of the grey images, in pixels."""
_LARGEST = 2**26
"""Bytes of a file of grey images, unpacked: 60,000 images have 47 million."""


class CIFAR10(Source):
    """50,000 training images of ten classes; its 10,000 test images are the held-out ones.

    The root is the folder that holds ``cifar-10-batches-py``. Torchvision checks the published MD5
    of every file before it reads one.
    """

    name = "cifar10"
    summary = "CIFAR-10, 50,000 + 10,000 photographs, 32x32 (170 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the batches of a split; see `Source.open`."""
        from torchvision import datasets

        with _explained(self.name, root):
            published = datasets.CIFAR10(str(root), train=split == "train")
        return ArrayImages(
            torch.from_numpy(published.data).permute(0, 3, 1, 2).contiguous(),
            split=split,
            labels=torch.tensor(published.targets),
            classes=tuple(published.classes),
        )

    def prepare(self, root: Path) -> None:
        """Downloads and unpacks the archive unless all is there, undamaged."""
        from torchvision import datasets

        with _downloading(self.name, root, url=datasets.CIFAR10.url):
            datasets.CIFAR10(str(root), download=True)


class SVHN(Source):
    """73,257 training digits; its 26,032 test digits are the held-out ones.

    The root is the folder that holds ``train_32x32.mat`` and ``test_32x32.mat``. Torchvision checks
    the published MD5 of a file before it reads it.
    """

    name = "svhn"
    summary = "SVHN cropped, 73,257 + 26,032 house-number digits, 32x32 (250 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the file of a split; see `Source.open`."""
        from torchvision import datasets

        with _explained(self.name, root):
            published = datasets.SVHN(str(root), split="train" if split == "train" else "test")
        return ArrayImages(
            torch.from_numpy(published.data),
            split=split,
            labels=torch.from_numpy(published.labels),
            classes=tuple("0123456789"),
        )

    def prepare(self, root: Path) -> None:
        """Downloads both files unless they are there, undamaged."""
        from torchvision import datasets

        for split in ("train", "test"):
            with _downloading(self.name, root, url=datasets.SVHN.split_list[split][0]):
                datasets.SVHN(str(root), split=split, download=True)


class FashionMNIST(Source):
    """60,000 grey images of clothes; its 10,000 test images are the held-out ones.

    A frame of 2 black pixels makes 28x28 into 32x32. Debian's package ``dataset-fashion-mnist``
    puts the files in ``/usr/share/datasets``.
    """

    name = "fashion_mnist"
    summary = "Fashion-MNIST, 60,000 + 10,000 grey images of clothes, 28x28 padded (31 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the files of a split; see `Source.open` and `GreyFiles.read`."""
        pixels, labels = FASHION.read(root, split, name=self.name)
        padded = torch.nn.functional.pad(pixels, ((SIDE - _WIDTH) // 2,) * 4)
        return ArrayImages(
            padded.unsqueeze(1).expand(-1, 3, -1, -1),
            split=split,
            labels=labels,
            classes=FASHION.classes,
        )

    def prepare(self, root: Path) -> None:
        """Downloads the four files unless an undamaged copy is there."""
        FASHION.fetch(root, name=self.name)


@dataclass(frozen=True, slots=True)
class GreyFiles:
    """The four files of MNIST or Fashion-MNIST: grey 28x28 images of ten classes, format IDX.

    Of torchvision only the addresses and checksums are used: its reader takes no packed files, as
    published and as Debian has them, and does not check those that it takes.

    Attributes:
        folders: where below the root they may lie; a download goes to the first.
        published: torchvision's class.
        classes: names of the ten classes, in the order of the labels.
    """

    folders: tuple[str, ...]
    published: str
    classes: tuple[str, ...]

    def read(self, root: Path, split: Split, *, name: str) -> tuple[Tensor, Tensor]:
        """The images, uint8 (N, 28, 28), and their labels, int64 (N,) in [0, 9].

        Args:
            root: the folder that holds the four ``*-ubyte`` or ``*-ubyte.gz`` files, or the folder
                above one of `folders`.
            split: ``train`` or ``held_out``.
            name: of the data set, as ``ganstoch prepare`` knows it.

        Raises:
            UserError: if a file is missing or damaged.
        """
        prefix = "train" if split == "train" else "t10k"
        with _explained(name, root):
            pixels = _read_idx(self._find(root, f"{prefix}-images-idx3-ubyte"))
            labels = _read_idx(self._find(root, f"{prefix}-labels-idx1-ubyte")).long()
            if pixels.shape != (len(labels), _WIDTH, _WIDTH) or int(labels.max()) > 9:
                raise ValueError(
                    f"the {prefix} files hold images {tuple(pixels.shape)} and {len(labels)} "
                    f"labels, not {_WIDTH}x{_WIDTH} ones with labels 0 .. 9"
                )
        return pixels, labels

    def fetch(self, root: Path, *, name: str) -> None:
        """Downloads the four files unless an undamaged copy is there.

        Args:
            root: the folder to make the first of `folders` in, or where the files are already.
            name: of the data set, as ``ganstoch prepare`` knows it.

        Raises:
            UserError: if the download fails.
        """
        from torchvision import datasets

        published = getattr(datasets, self.published)
        try:
            self.read(root, "train", name=name)
            self.read(root, "held_out", name=name)
        except UserError:
            with _downloading(name, root, url=published.mirrors[0]):
                for file, md5 in published.resources:
                    folder = str(root / self.folders[0])
                    datasets.utils.download_url(published.mirrors[0] + file, folder, file, md5)
            self.read(root, "train", name=name)
            self.read(root, "held_out", name=name)

    def _find(self, root: Path, name: str) -> Path:
        """The file of that name, plain or gzipped, wherever below the root it may lie."""
        for folder in self.folders:
            for ending in (".gz", ""):
                path = root / folder / f"{name}{ending}"
                if path.is_file():
                    return path
        raise FileNotFoundError(f"no {name} or {name}.gz")


FASHION = GreyFiles(
    folders=("FashionMNIST/raw", "fashion-mnist", ""),
    published="FashionMNIST",
    classes=(
        *("t-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
    ),
)
MNIST = GreyFiles(
    folders=("MNIST/raw", "mnist", ""), published="MNIST", classes=tuple("0123456789")
)


def _read_idx(path: Path) -> Tensor:
    """An IDX file of bytes as a uint8 tensor; ValueError unless it is as long as its header says.

    The format (http://yann.lecun.com/exdb/mnist): two zero bytes, 8 for "unsigned byte", the number
    of dimensions, each dimension as a big-endian 32-bit number, then the values.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        magic = file.read(4)
        if magic not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
            raise ValueError(f"{path} is no file of bytes: it begins with {magic!r}")
        shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
        size = math.prod(shape)
        content = file.read(size + 1) if size <= _LARGEST else b""
    if len(content) != size or size == 0:
        raise ValueError(f"the header of {path} announces {size} values, which it does not hold")
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy()).reshape(shape)


@contextmanager
def _explained(name: str, root: Path) -> Iterator[None]:
    """Turns a reader's errors, of which there are many kinds, into a UserError with the fix."""
    fix = f"run: ganstoch prepare {name} --root {root}"
    require_folder(root, holds=f"the data set's folder, or {fix}")
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{name} in {root} is missing or damaged ({reason}); {fix}") from error


@contextmanager
def _downloading(name: str, root: Path, *, url: str) -> Iterator[None]:
    """Lets one process at a time download, and turns errors into a UserError."""
    with locked(root / name, doing=f"download {name}"), patience():
        try:
            yield
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum
            raise UserError(
                f"cannot download {url} ({error}); try again, or download it by hand to {root}"
            ) from error


@contextmanager
def patience() -> Iterator[None]:
    """Gives up on connections that have been silent for `PATIENCE` seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
