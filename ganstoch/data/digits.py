"""Handwritten digits that scikit-learn brings along: real images with no download at all."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganstoch.data.source import SIDE, ArrayImages, Source
from ganstoch.types import Split


class Digits(Source):
    """The 1,797 test digits of UCI's "Optical Recognition of Handwritten Digits"."""

    name = "digits"
    summary = "1,797 handwritten digits, 8x8 grey scaled up, part of scikit-learn: no download"
    in_package = True

    def open(self, root: Path, split: Split) -> ArrayImages | None:
        """The digits as RGB, 8x8 scaled to 32x32; none are held out. See `Source.open`."""
        if split == "held_out":
            return None
        from sklearn.datasets import load_digits

        digits = load_digits()
        grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # published in 17 levels
        large = [
            Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in grey
        ]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in large]))
        return ArrayImages(
            pixels.unsqueeze(1).expand(-1, 3, -1, -1),
            split=split,
            labels=torch.from_numpy(digits.target).long(),
            classes=tuple(str(digit) for digit in range(10)),
        )
