"""Fashion-MNIST in the IDX format, as published, as torchvision keeps it or as Debian packs it."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganstoch.data.download import fetch
from ganstoch.data.source import SIDE, ArrayImages, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

__all__ = ["FashionMNIST"]

_FOLDERS = ("FashionMNIST/raw", "fashion-mnist", "")
"""Where below the root the files may lie: as torchvision keeps them, as Debian does, or there."""

_PREFIXES: dict[Split, str] = {"train": "train", "held_out": "t10k"}
_WIDTH = 28
_CLASSES = "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot"


class FashionMNIST(Source):
    """60,000 grey images of clothes; its 10,000 test images are the held-out ones.

    Debian's package ``dataset-fashion-mnist`` puts them in ``/usr/share/datasets``.
    """

    name = "fashion_mnist"
    summary = "Fashion-MNIST, 60,000 + 10,000 grey images of clothes, 28x28 padded (31 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the files of a split; a frame of 2 black pixels makes 28x28 into 32x32.

        Args:
            root: the folder that holds the four ``*-ubyte`` or ``*-ubyte.gz`` files, or the folder
                above ``FashionMNIST/raw`` or ``fashion-mnist``.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if a file is missing or damaged.
        """
        fix = f"run: ganstoch prepare fashion_mnist --root {root}"
        prefix = _PREFIXES[split]
        require_folder(root, holds=f"the folder of {prefix}-images-idx3-ubyte.gz, or {fix}")
        pixels = _read_idx(_find(root, f"{prefix}-images-idx3-ubyte", fix=fix), dims=3, fix=fix)
        labels = _read_idx(_find(root, f"{prefix}-labels-idx1-ubyte", fix=fix), dims=1, fix=fix)
        if pixels.shape != (len(labels), _WIDTH, _WIDTH) or int(labels.max()) > 9:
            raise UserError(
                f"the {prefix} files in {root} hold images {tuple(pixels.shape)} and "
                f"{len(labels)} labels, not {_WIDTH}x{_WIDTH} ones with labels 0 .. 9; {fix}"
            )
        margin = (SIDE - _WIDTH) // 2
        padded = torch.nn.functional.pad(pixels, (margin,) * 4)
        return ArrayImages(
            padded.unsqueeze(1).expand(-1, 3, -1, -1),
            split=split,
            labels=labels.long(),
            classes=tuple(_CLASSES.split()),
        )

    def prepare(self, root: Path) -> None:
        """Downloads the four files unless a sound copy is there.

        Args:
            root: the folder to make ``FashionMNIST/raw`` in, or where they are already.

        Raises:
            UserError: if the download fails.
        """
        from torchvision.datasets import FashionMNIST as Published

        try:
            for split in _PREFIXES:
                self.open(root, split)
        except UserError:
            for file_name, md5 in Published.resources:
                url = Published.mirrors[0] + file_name
                fetch(root / _FOLDERS[0] / file_name, url=url, md5=md5)
            for split in _PREFIXES:
                self.open(root, split)


def _find(root: Path, name: str, *, fix: str) -> Path:
    """The file of that name, plain or gzipped, wherever below the root it may lie."""
    for folder in _FOLDERS:
        for ending in (".gz", ""):
            path = root / folder / f"{name}{ending}"
            if path.is_file():
                return path
    raise UserError(f"no {name} or {name}.gz in {root}; {fix}")


def _read_idx(path: Path, *, dims: int, fix: str) -> Tensor:
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
            content = file.read(size + 1)
            if len(content) != size or size == 0:
                raise ValueError(f"its header announces {size} values, it holds {len(content)}")
    except Exception as error:  # a damaged file raises almost anything
        raise UserError(f"{path} is damaged ({error}); {fix}") from error
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy()).reshape(shape)
