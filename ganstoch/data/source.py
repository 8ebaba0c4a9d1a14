"""Base classes of the data sets: a `Source` opens a split as an `ImageSet`, of images or points.

To add a data set, subclass `Source` in a file of its own and import it in `data/__init__.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.types import KnownModes, Shape, Split

SIDE = 32  # height and width of the paper's images, in pixels
_HELD_OUT = 10_000  # most examples of a held-out split that is drawn


class ImageSet(ABC):
    """A sequence of images in a fixed order, all of one shape; or of points."""

    shape: Shape  # of one image, (channels, height, width); of one point, (coordinates,)
    labels: Tensor | None = None  # class of each image, int64, shape (len(self),)
    classes: tuple[str, ...] = ()  # names of the classes, in the order of the labels
    split: Split | None = None  # prefix of the images' names where they have none of their own
    where: str = "array"  # what messages call the folder or file that they lie in
    path: Path | None = None  # of that folder or file, if there is one
    notes: tuple[str, ...] = ()  # what was decided for the user on opening, each a sentence
    _names: Sequence[str] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def read(self, ids: Tensor) -> Tensor:
        """A copy of the images ``ids`` (N,), uint8 (N, C, H, W), or points, float32 (N, D); CPU."""

    def names(self, ids: Tensor) -> tuple[str, ...]:
        """Names for people: a file's path below the root, or e.g. ``train/123`` or ``#123``."""
        if self._names is not None:
            return tuple(self._names[i] for i in ids.tolist())
        prefix = "#" if self.split is None else f"{self.split}/"
        return tuple(f"{prefix}{i}" for i in ids.tolist())


class ArrayImages(ImageSet):
    """Images, uint8 (N, C, H, W), or points, float32 (N, D), in memory; else as `ImageSet`."""

    def __init__(
        self,
        pixels: Tensor,
        *,
        split: Split | None = None,
        labels: Tensor | None = None,
        classes: tuple[str, ...] = (),
        names: Sequence[str] | None = None,
        where: str = "array",
    ) -> None:
        assert (pixels.dtype, pixels.ndim) in ((torch.uint8, 4), (torch.float32, 2)), pixels.shape
        assert labels is None or labels.shape == (len(pixels),), labels.shape
        assert names is None or len(names) == len(pixels), len(names)
        self.pixels = pixels
        self.shape = tuple(pixels.shape[1:])
        self.labels, self.classes, self.split, self.where = labels, classes, split, where
        self._names = names

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, ids: Tensor) -> Tensor:
        """See `ImageSet.read`."""
        return self.pixels[ids].contiguous()


class Source(ABC):
    """Data set. Its class name selects it on the command line."""

    name: ClassVar[str]  # in records, file names and ``ganstoch prepare NAME``
    summary: ClassVar[str]  # what it is, in one line
    in_package: ClassVar[bool] = False  # whether a dependency brings it: no root is read

    @property
    def label(self) -> str:
        """The name, with whatever setting changes the pixels: different pixels, different label."""
        return self.name

    @abstractmethod
    def open(self, root: Path, split: Split) -> ImageSet | None:
        """The images of a split, None if none are held out; `UserError` if they are missing."""

    def known_modes(self, root: Path) -> KnownModes | None:
        """The modes of a synthetic data set; None where they are not known."""
        return None

    def prepare(self, root: Path) -> None:
        """Downloads or converts below the root what `open` needs; safe to call again."""
        self.open(root, "train")


class Drawn:
    """What sources share whose examples are drawn; none itself, so that it is none to choose."""

    name: ClassVar[str]
    usual_size: ClassVar[int]

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise UserError(f"data.source.size is {size}; give 1 or more")
        self.size = size
        self.seed = seed

    @property
    def label(self) -> str:
        """The name, with size and seed where they are not the usual ones."""
        size = "" if self.size == self.usual_size else f"-size{self.size}"
        return f"{self.name}{size}" + (f"-seed{self.seed}" if self.seed else "")

    def split_size(self, split: Split) -> int:
        """Examples of a split: held out are as many as are trained on, at most 10,000."""
        return self.size if split == "train" else min(self.size, _HELD_OUT)


def require_folder(root: Path, *, holds: str) -> None:
    """A `UserError` unless the data's root is a folder; ``holds`` says what it must hold."""
    if not root.is_dir():
        state = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"{root} {state}; --data.root must point to {holds}")
