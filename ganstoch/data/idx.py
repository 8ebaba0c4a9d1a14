"""Grey 28x28 images of ten classes in the IDX format, as published, by torchvision or by Debian."""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganstoch.data.download import fetch
from ganstoch.data.source import require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

__all__ = ["FASHION", "MNIST", "WIDTH", "GreyFiles"]

WIDTH = 28
"""Height and width of an image, in pixels."""
_LARGEST = 2**26
"""Bytes of a file, unpacked: 60,000 images have 47 million."""

_PREFIXES: dict[Split, str] = {"train": "train", "held_out": "t10k"}


@dataclass(frozen=True, slots=True)
class GreyFiles:
    """Where the four files of a published set lie, and where they come from.

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
        fix = f"run: ganstoch prepare {name} --root {root}"
        prefix = _PREFIXES[split]
        require_folder(root, holds=f"the folder of {prefix}-images-idx3-ubyte.gz, or {fix}")
        pixels = _read(self._find(root, f"{prefix}-images-idx3-ubyte", fix=fix), dims=3, fix=fix)
        labels = _read(self._find(root, f"{prefix}-labels-idx1-ubyte", fix=fix), dims=1, fix=fix)
        if pixels.shape != (len(labels), WIDTH, WIDTH) or int(labels.max()) > 9:
            raise UserError(
                f"the {prefix} files in {root} hold images {tuple(pixels.shape)} and "
                f"{len(labels)} labels, not {WIDTH}x{WIDTH} ones with labels 0 .. 9; {fix}"
            )
        return pixels, labels.long()

    def fetch(self, root: Path, *, name: str) -> None:
        """Downloads the four files unless a sound copy is there.

        Args:
            root: the folder to make the first of `folders` in, or where the files are already.
            name: of the data set, as ``ganstoch prepare`` knows it.

        Raises:
            UserError: if the download fails.
        """
        import torchvision.datasets

        published = getattr(torchvision.datasets, self.published)
        try:
            for split in _PREFIXES:
                self.read(root, split, name=name)
        except UserError:
            for file_name, md5 in published.resources:
                url = published.mirrors[0] + file_name
                fetch(root / self.folders[0] / file_name, url=url, md5=md5)
            for split in _PREFIXES:
                self.read(root, split, name=name)

    def _find(self, root: Path, name: str, *, fix: str) -> Path:
        """The file of that name, plain or gzipped, wherever below the root it may lie."""
        for folder in self.folders:
            for ending in (".gz", ""):
                path = root / folder / f"{name}{ending}"
                if path.is_file():
                    return path
        raise UserError(f"no {name} or {name}.gz in {root}; {fix}")


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


def _read(path: Path, *, dims: int, fix: str) -> Tensor:
    """An IDX file of bytes as a uint8 tensor; UserError unless it is exactly as long as it says.

    The format (http://yann.lecun.com/exdb/mnist): two zero bytes, 8 for "unsigned byte", the number
    of dimensions, each dimension as a big-endian 32-bit number, then the values.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, *shape = struct.unpack(f">{1 + dims}I", file.read(4 + 4 * dims))
            if magic != 0x0800 + dims:
                raise ValueError(f"magic number {magic:#010x}, expected {0x0800 + dims:#010x}")
            size = math.prod(shape)
            if size > _LARGEST:
                raise ValueError(f"its header announces {size} values, no such set has as many")
            content = file.read(size + 1)
            if len(content) != size or size == 0:
                raise ValueError(f"its header announces {size} values, it holds {len(content)}")
    except Exception as error:  # a damaged file raises almost anything
        raise UserError(f"{path} is damaged ({error}); {fix}") from error
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy()).reshape(shape)
