"""CIFAR-10, SVHN and Fashion-MNIST: torchvision's readers, downloads and checksums (MD5)."""

from pathlib import Path

import torch

from ganstoch.data.download import downloading, explained
from ganstoch.data.grey_files import FASHION, WIDTH
from ganstoch.data.source import SIDE, ArrayImages, Source
from ganstoch.types import Split


class CIFAR10(Source):
    """50,000 training images of ten classes, 10,000 held out, in ``cifar-10-batches-py``."""

    name = "cifar10"
    summary = "CIFAR-10, 50,000 + 10,000 photographs, 32x32 (170 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads a split; see `Source.open`."""
        from torchvision import datasets

        with explained(self.name, root):
            published = datasets.CIFAR10(str(root), train=split == "train")
        pixels = torch.from_numpy(published.data).permute(0, 3, 1, 2).contiguous()
        labels = torch.tensor(published.targets)
        return ArrayImages(pixels, split=split, labels=labels, classes=tuple(published.classes))

    def prepare(self, root: Path) -> None:
        """Downloads and unpacks the archive unless all is there, undamaged."""
        from torchvision import datasets

        with downloading(self.name, root, url=datasets.CIFAR10.url):
            datasets.CIFAR10(str(root), download=True)


class SVHN(Source):
    """73,257 training digits, 26,032 held out, in ``train_32x32.mat`` and ``test_32x32.mat``."""

    name = "svhn"
    summary = "SVHN cropped, 73,257 + 26,032 house-number digits, 32x32 (250 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads a split; see `Source.open`."""
        from torchvision import datasets

        with explained(self.name, root):
            published = datasets.SVHN(str(root), split="train" if split == "train" else "test")
        pixels, labels = torch.from_numpy(published.data), torch.from_numpy(published.labels)
        return ArrayImages(pixels, split=split, labels=labels, classes=tuple("0123456789"))

    def prepare(self, root: Path) -> None:
        """Downloads both files unless they are there, undamaged."""
        from torchvision import datasets

        for split in ("train", "test"):
            with downloading(self.name, root, url=datasets.SVHN.split_list[split][0]):
                datasets.SVHN(str(root), split=split, download=True)


class FashionMNIST(Source):
    """60,000 grey clothes, 10,000 held out, framed in black; Debian: ``dataset-fashion-mnist``."""

    name = "fashion_mnist"
    summary = "Fashion-MNIST, 60,000 + 10,000 grey images of clothes, 28x28 padded (31 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads a split; see `Source.open`."""
        grey, labels = FASHION.read(root, split, name=self.name)
        padded = torch.nn.functional.pad(grey, ((SIDE - WIDTH) // 2,) * 4)
        pixels = padded.unsqueeze(1).expand(-1, 3, -1, -1)
        return ArrayImages(pixels, split=split, labels=labels, classes=FASHION.classes)

    def prepare(self, root: Path) -> None:
        """Downloads the four files unless an undamaged copy is there."""
        FASHION.fetch(root, name=self.name)
