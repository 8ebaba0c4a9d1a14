"""Three grey images in the three channels of one: 1,000 modes that a classifier can count.

[1] Srivastava et al. 2017, "VEEGAN", arXiv:1705.07761, Sec. 5.2.
[2] Metz et al. 2017, "Unrolled generative adversarial networks", arXiv:1611.02163, Sec. 3.3.
[3] Lin et al. 2018, "PacGAN", arXiv:1712.04086, Sec. 4.2, and its published code for both.
"""

from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ganstoch.data.cache import places
from ganstoch.data.grey_files import FASHION, MNIST, GreyFiles
from ganstoch.data.source import Drawn, ImageSet, Source
from ganstoch.rng import rng_for, with_replacement
from ganstoch.types import Split, StackedClasses

# Whose experiment. veegan: [1] as in [3], stacks of all 70,000 images, training and test, held-out
# ones too. unrolled: [2] as in [3], of the 60,000 training images; held out of the others.
Protocol = Literal["veegan", "unrolled"]

SIZE = 128_000  # stacks of a training split, as in [3]'s veegan
_SAMPLES: dict[Protocol, int] = {"veegan": 26_000, "unrolled": 25_600}


class StackedImages(ImageSet):
    """Stacks of grey images (S, 28, 28), made when read; ``members`` (N, 3) says of which."""

    def __init__(
        self,
        singles: Tensor,
        labels: Tensor,
        *,
        members: Tensor,
        names: tuple[str, ...],
        split: Split,
    ) -> None:
        self._singles, self._members, self.split = singles, members, split
        self.shape = (3, *singles.shape[1:])
        self.labels: Tensor = labels[members] @ torch.tensor([100, 10, 1])
        mark = "" if all(len(name) == 1 for name in names) else "+"
        self.classes = tuple(mark.join((a, b, c)) for a in names for b in names for c in names)

    def __len__(self) -> int:
        return len(self._members)

    def read(self, ids: Tensor) -> Tensor:
        """The stacks at the given positions, uint8, shape (N, 3, 28, 28); see `ImageSet.read`."""
        return self._singles[self._members[ids]]


class Stacked(Drawn):
    """Stacks of three drawn images; the label is 100 a + 10 b + c, of their classes a, b and c.

    Ours: in ``unrolled`` [2] and [3] draw every batch afresh, here from ``size`` fixed stacks.

    Args:
        protocol: whose experiment: which images are stacked, how many samples are scored.
        size: stacks of the training split; the held-out split has as many, at most 10,000.
        seed: decides the stacks; apart from the run's seed, so that runs can share them.
    """

    files: ClassVar[GreyFiles]
    usual_size = SIZE

    def __init__(self, protocol: Protocol = "veegan", size: int = SIZE, seed: int = 0) -> None:
        super().__init__(size, seed)
        self.protocol: Protocol = protocol

    @property
    def label(self) -> str:
        """The name, with protocol, number of stacks and seed where they are not the usual ones."""
        name = self.name if self.protocol == "veegan" else f"{self.name}-{self.protocol}"
        return super().label.replace(self.name, name, 1)

    def singles(self, root: Path, split: Split) -> tuple[Tensor, Tensor]:
        """The images that are stacked, uint8 (S, 28, 28), and their labels, int64 (S,)."""
        return self.files.read(root, split, name=self.name)

    def open(self, root: Path, split: Split) -> StackedImages:
        """Draws the stacks of a split; see `Source.open`."""
        if self.protocol == "veegan":
            parts = [self.singles(root, "train"), self.singles(root, "held_out")]
            images, labels = (torch.cat(both) for both in zip(*parts, strict=True))
        else:
            images, labels = self.singles(root, split)
        size = self.split_size(split)
        rng = rng_for(self.seed, "subset", part=f"stacked/{split}")
        members = with_replacement(len(images), size * 3, rng).reshape(size, 3)
        return StackedImages(images, labels, members=members, names=self.files.classes, split=split)

    def known_modes(self, root: Path) -> StackedClasses:
        """1,000 modes, and where the classifier that tells them apart lies."""
        paths = [folder / f"judge-{self.name}.pt" for folder in places(root)]
        return StackedClasses(
            samples=_SAMPLES[self.protocol],
            classifier=next((path for path in paths if path.is_file()), paths[0]),
            made_by=f"ganstoch prepare {self.name} --root {root}",
        )

    def prepare(self, root: Path) -> None:
        """Downloads the four files unless an undamaged copy is there; see `Source.prepare`."""
        self.files.fetch(root, name=self.name)


class StackedMNIST(Stacked, Source):
    """Handwritten digits, three at a time."""

    name = "stacked_mnist"
    summary = "stacked MNIST, 128,000 triples of handwritten digits as RGB, 28x28 (12 MB)"
    files = MNIST


class StackedFashion(Stacked, Source):
    """Fashion-MNIST's clothes, three at a time: ours, for where MNIST is not to be had."""

    name = "stacked_fashion"
    summary = "the same of Fashion-MNIST, 128,000 triples of clothes as RGB, 28x28 (31 MB)"
    files = FASHION
