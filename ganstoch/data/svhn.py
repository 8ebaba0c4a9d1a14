"""Street View House Numbers, cropped digits: two MATLAB files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from ganstoch.data.download import fetch
from ganstoch.data.source import SIDE, ArrayImages, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

__all__ = ["SVHN"]

_LARGEST = 2**28
"""Values of a file: 73,257 images have 225 million."""
_FILES: dict[Split, str] = {"train": "train_32x32.mat", "held_out": "test_32x32.mat"}


class SVHN(Source):
    """73,257 training digits; its 26,032 test digits are the held-out ones."""

    name = "svhn"
    summary = "SVHN cropped, 73,257 + 26,032 house-number digits, 32x32 (250 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the file of a split.

        Args:
            root: the folder that holds ``train_32x32.mat`` and ``test_32x32.mat``.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if the file is missing or damaged.
        """
        fix = f"run: ganstoch prepare svhn --root {root}"
        require_folder(root, holds=f"the folder of {_FILES[split]}, or {fix}")
        from scipy.io import loadmat, whosmat

        path = root / _FILES[split]
        if not path.is_file():
            raise UserError(f"no {path}; {fix}")
        try:
            for name, shape, _ in whosmat(path):  # from the headers, before anything is unpacked
                if name in ("X", "y") and math.prod(shape) > _LARGEST:
                    raise ValueError(f"{name} is said to have the shape {shape}")
            content = loadmat(path, variable_names=["X", "y"])
            pixels, labels = np.asarray(content["X"]), np.asarray(content["y"]).astype(np.int64)
            if pixels.dtype != np.uint8 or pixels.shape != (SIDE, SIDE, 3, labels.size):
                raise ValueError(f"X is {pixels.dtype} {pixels.shape} for {labels.size} labels")
            if not ((labels >= 1) & (labels <= 10)).all():
                raise ValueError("y beyond 1 .. 10")
        except Exception as error:  # a damaged file raises almost anything
            raise UserError(f"{path} is damaged ({error}); {fix}") from error
        return ArrayImages(
            torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))),
            split=split,
            labels=torch.from_numpy(labels.reshape(-1) % 10),  # the file calls the digit 0 "10"
            classes=tuple(str(digit) for digit in range(10)),
        )

    def prepare(self, root: Path) -> None:
        """Downloads both files unless they are there with their published MD5, and reads them.

        Args:
            root: the folder to put them in.

        Raises:
            UserError: if the download fails.
        """
        from torchvision.datasets import SVHN as Published

        published: tuple[tuple[Split, str], ...] = (("train", "train"), ("held_out", "test"))
        for split, theirs in published:
            url, file_name, md5 = Published.split_list[theirs]
            fetch(root / file_name, url=url, md5=md5)
            self.open(root, split)
