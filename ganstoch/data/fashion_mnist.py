"""Fashion-MNIST in the IDX format, as published, as torchvision keeps it or as Debian packs it."""

from __future__ import annotations

from pathlib import Path

import torch

from ganstoch.data.idx import FASHION, WIDTH
from ganstoch.data.source import SIDE, ArrayImages, Source
from ganstoch.types import Split

__all__ = ["FashionMNIST"]


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
        pixels, labels = FASHION.read(root, split, name=self.name)
        padded = torch.nn.functional.pad(pixels, ((SIDE - WIDTH) // 2,) * 4)
        return ArrayImages(
            padded.unsqueeze(1).expand(-1, 3, -1, -1),
            split=split,
            labels=labels,
            classes=FASHION.classes,
        )

    def prepare(self, root: Path) -> None:
        """Downloads the four files unless a sound copy is there.

        Args:
            root: the folder to make ``FashionMNIST/raw`` in, or where they are already.

        Raises:
            UserError: if the download fails.
        """
        FASHION.fetch(root, name=self.name)
