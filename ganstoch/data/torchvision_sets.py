"""CIFAR-10, SVHN, MNIST and Fashion-MNIST: torchvision's readers, downloads and checksums."""

from __future__ import annotations

import gzip
import math
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

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
    """50,000 training images of ten classes; its 10,000 test images are the held-out ones."""

    name = "cifar10"
    summary = "CIFAR-10, 50,000 + 10,000 photographs, 32x32 (170 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the batches of a split, once their published MD5 holds.

        Args:
            root: the folder that holds ``cifar-10-batches-py``.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if a batch is missing or damaged.
        """
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
        """Downloads and unpacks the archive unless every batch is there, undamaged.

        Args:
            root: the folder to put ``cifar-10-batches-py`` in.

        Raises:
            UserError: if the download fails.
        """
        from torchvision import datasets

        def download() -> None:
            datasets.CIFAR10(str(root), download=True)

        _download(download, name=self.name, root=root, url=datasets.CIFAR10.url)


class SVHN(Source):
    """73,257 training digits; its 26,032 test digits are the held-out ones."""

    name = "svhn"
    summary = "SVHN cropped, 73,257 + 26,032 house-number digits, 32x32 (250 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the file of a split, once its published MD5 holds.

        Args:
            root: the folder that holds ``train_32x32.mat`` and ``test_32x32.mat``.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if the file is missing or damaged.
        """
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
        """Downloads both files unless they are there, undamaged.

        Args:
            root: the folder to put them in.

        Raises:
            UserError: if the download fails.
        """
        from torchvision import datasets

        for split in ("train", "test"):

            def download(split: str = split) -> None:
                datasets.SVHN(str(root), split=split, download=True)

            url = datasets.SVHN.split_list[split][0]
            _download(download, name=self.name, root=root, url=url)


class FashionMNIST(Source):
    """60,000 grey images of clothes; its 10,000 test images are the held-out ones.

    Debian's package ``dataset-fashion-mnist`` puts them in ``/usr/share/datasets``.
    """

    name = "fashion_mnist"
    summary = "Fashion-MNIST, 60,000 + 10,000 grey images of clothes, 28x28 padded (31 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the files of a split; a frame of 2 black pixels makes 28x28 into 32x32.

        Args:
            root: as for `GreyFiles.read`.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if a file is missing or damaged.
        """
        pixels, labels = FASHION.read(root, split, name=self.name)
        padded = torch.nn.functional.pad(pixels, ((SIDE - _WIDTH) // 2,) * 4)
        return ArrayImages(
            padded.unsqueeze(1).expand(-1, 3, -1, -1),
            split=split,
            labels=labels,
            classes=FASHION.classes,
        )

    def prepare(self, root: Path) -> None:
        """Downloads the four files unless an undamaged copy is there.

        Args:
            root: the folder to make ``FashionMNIST/raw`` in, or where they are already.

        Raises:
            UserError: if the download fails.
        """
        FASHION.fetch(root, name=self.name)


@dataclass(frozen=True, slots=True)
class GreyFiles:
    """The four files of MNIST or Fashion-MNIST: grey 28x28 images of ten classes, format IDX.

    Torchvision's reader takes unpacked files alone, and neither checks them nor leaves them packed,
    as published and as Debian has them; so only its addresses and checksums are used.

    Attributes:
        folders: where below the root they may lie; a download goes to the first.
        published: torchvision's class, which knows addresses and checksums.
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

        def download() -> None:
            for file, md5 in published.resources:
                folder = str(root / self.folders[0])
                datasets.utils.download_url(published.mirrors[0] + file, folder, file, md5)

        try:
            self.read(root, "train", name=name)
            self.read(root, "held_out", name=name)
        except UserError:
            _download(download, name=name, root=root, url=published.mirrors[0])
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
        if len(magic) < 4 or magic[:3] != b"\0\0\x08" or magic[3] not in (1, 3):
            raise ValueError(f"{path} is no file of bytes: it begins with {magic!r}")
        shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
        size = math.prod(shape)
        content = file.read(size + 1) if size <= _LARGEST else b""
    if len(content) != size or size == 0:
        raise ValueError(f"the header of {path} announces {size} values, which it does not hold")
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy()).reshape(shape)


@contextmanager
def _explained(name: str, root: Path) -> Iterator[None]:
    """Says what mends missing or damaged files, which make readers raise almost anything."""
    fix = f"run: ganstoch prepare {name} --root {root}"
    require_folder(root, holds=f"the data set's folder, or {fix}")
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{name} in {root} is missing or damaged ({reason}); {fix}") from error


def _download(download: Callable[[], Any], *, name: str, root: Path, url: str) -> None:
    """Lets one process at a time download what is not there with its published checksum."""
    with locked(root / name, doing=f"download {name}"), patience():
        try:
            download()
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
