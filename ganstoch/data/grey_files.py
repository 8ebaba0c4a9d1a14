"""MNIST's file format: grey images of ten classes, as published, by torchvision or by Debian."""

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganstoch.data.download import downloading, explained
from ganstoch.errors import UserError
from ganstoch.types import Split

WIDTH = 28  # height and width of an image, in pixels
_LARGEST = 2**26  # bytes of a file, unpacked: 60,000 images have 47 million


@dataclass(frozen=True, slots=True)
class GreyFiles:
    """Four IDX files of grey 28x28 images of ten classes; torchvision reads no packed ones."""

    folders: tuple[str, ...]  # where below the root they may lie; a download goes to the first
    published: str  # torchvision's class, for its addresses and checksums
    classes: tuple[str, ...]  # names of the ten classes, in the order of the labels

    def read(self, root: Path, split: Split, *, name: str) -> tuple[Tensor, Tensor]:
        """Images, uint8 (N, 28, 28), and labels, int64 (N,) in [0, 9]; see `folders`."""
        prefix = "train" if split == "train" else "t10k"
        with explained(name, root):
            pixels = _read_idx(self._find(root, f"{prefix}-images-idx3-ubyte"))
            labels = _read_idx(self._find(root, f"{prefix}-labels-idx1-ubyte")).long()
            if pixels.shape != (len(labels), WIDTH, WIDTH) or int(labels.max()) > 9:
                raise ValueError(
                    f"the {prefix} files hold images {tuple(pixels.shape)} and {len(labels)} "
                    f"labels, not {WIDTH}x{WIDTH} ones with labels 0 .. 9"
                )
        return pixels, labels

    def fetch(self, root: Path, *, name: str) -> None:
        """Downloads the four files unless an undamaged copy is there; arguments as for `read`."""
        from torchvision import datasets

        published = getattr(datasets, self.published)
        try:
            self.read(root, "train", name=name)
            self.read(root, "held_out", name=name)
        except UserError:
            with downloading(name, root, url=published.mirrors[0]):
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
    """An IDX file of bytes (yann.lecun.com/exdb/mnist), uint8; ValueError for another length."""
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
