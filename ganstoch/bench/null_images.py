"""Images of many kinds to try an audit on: photographs, and what is least like them.

An audit must not accuse a generator because of the nature of the data. So the kinds differ in what
upsets nearest neighbours: images that are identical by nature, nearly so, mostly blank, sparse,
flat, or made of very few patterns. Synthetic kinds are drawn without end; sets of real images are
split at random.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ganstoch.data.torchvision_sets import FashionMNIST

__all__ = ["SYNTHETIC", "Draw", "Pixels", "array_kind", "clothes", "digits", "photographs"]

Pixels = NDArray[np.uint8]
"""Images, uint8, shape (N, C, H, W)."""

Draw = Callable[[int, np.random.Generator], Pixels]
"""So many images, drawn independently, or without replacement from a set."""

_SIDE = 16


def _canvas(count: int, value: int = 0) -> Pixels:
    return np.full((count, 1, _SIDE, _SIDE), value, np.uint8)


def _drawn(count: int, paint: Callable[[ImageDraw.ImageDraw], None], *, paper: int) -> Pixels:
    made = _canvas(count)
    for image in made:
        picture = Image.new("L", (_SIDE, _SIDE), paper)
        paint(ImageDraw.Draw(picture))
        image[0] = np.asarray(picture)
    return made


def line_drawings(count: int, rng: np.random.Generator) -> Pixels:
    """Three black strokes on white."""

    def paint(pen: ImageDraw.ImageDraw) -> None:
        for _ in range(3):
            pen.line([int(x) for x in rng.integers(0, _SIDE, 4)], fill=0)

    return _drawn(count, paint, paper=255)


def text_scans(count: int, rng: np.random.Generator) -> Pixels:
    """Four lines of a typed page, on grainy paper."""
    glyphs = np.random.default_rng(7).random((26, 3, 3)) < 0.5
    made = rng.normal(235, 4, (count, 1, _SIDE, _SIDE))
    letters = rng.integers(0, 32, (count, 4, 4))  # of which six are spaces
    for i, row, column in np.ndindex(letters.shape):
        if (letter := letters[i, row, column]) < 26:
            made[i, 0, 4 * row : 4 * row + 3, 4 * column : 4 * column + 3][glyphs[letter]] = 30
    return made.clip(0, 255).astype(np.uint8)


def blank_heavy_scans(count: int, rng: np.random.Generator) -> Pixels:
    """Seven pages in ten are empty, and white without a grain."""
    made = text_scans(count, rng)
    made[rng.random(count) < 0.7] = 255
    return made


def disks(count: int, rng: np.random.Generator) -> Pixels:
    """One disk at one of 400 places: there are no other images."""
    y, x = np.mgrid[:32, :32]
    at = rng.integers(0, 20, (count, 2))
    apart = (y - 6 - at[:, :1, None]) ** 2 + (x - 6 - at[:, 1:, None]) ** 2
    return np.where(apart <= 16, 255, 0).astype(np.uint8)[:, None]


def sparse_stars(count: int, rng: np.random.Generator) -> Pixels:
    """Three white pixels on black."""
    made = _canvas(count)
    for image in made.reshape(count, -1):
        image[rng.choice(_SIDE * _SIDE, 3, replace=False)] = 255
    return made


def grey_blobs(count: int, rng: np.random.Generator) -> Pixels:
    """Three smooth spots of some brightness, on grey."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    made = np.full((count, _SIDE, _SIDE), 128.0)
    for _ in range(3):
        at, width = rng.uniform(0, _SIDE, (2, count, 1, 1)), rng.uniform(1.5, 4, (count, 1, 1))
        height = rng.uniform(-100, 100, (count, 1, 1))
        made += height * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * width**2))
    return made.clip(0, 255).astype(np.uint8)[:, None]


def flat_icons(count: int, rng: np.random.Generator) -> Pixels:
    """A shape of one of six colours on one of six: a few thousand icons, some of them common."""
    palette = np.random.default_rng(3).integers(0, 256, (6, 3), dtype=np.uint8)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    made = np.empty((count, 3, _SIDE, _SIDE), np.uint8)
    for image in made:
        ground, colour = palette[rng.geometric(0.4, 2) % 6]
        size, cy, cx = int(rng.integers(3, 7)), *rng.integers(6, 10, 2)
        square = np.maximum(abs(y - cy), abs(x - cx)) <= size
        shape = square if rng.random() < 0.5 else (y - cy) ** 2 + (x - cx) ** 2 <= size**2
        image[:] = np.where(shape, colour[:, None, None], ground[:, None, None])
    return made


def natural_repeats(count: int, rng: np.random.Generator) -> Pixels:
    """One image in three is one of a hundred that everybody has."""
    made, common = grey_blobs(count, rng), grey_blobs(100, np.random.default_rng(5))
    again = rng.random(count) < 1 / 3
    made[again] = common[rng.integers(0, 100, int(again.sum()))]
    return made


def near_duplicates(count: int, rng: np.random.Generator) -> Pixels:
    """One image in three is one of three hundred that everybody has, slightly changed."""
    made, common = grey_blobs(count, rng), grey_blobs(300, np.random.default_rng(6))
    again = rng.random(count) < 1 / 3
    made[again] = common[rng.integers(0, 300, int(again.sum()))]
    grain = rng.integers(-3, 4, made.shape)
    return (made.astype(np.int16) + grain).clip(0, 255).astype(np.uint8)


SYNTHETIC: dict[str, Draw] = {
    "line drawings": line_drawings,
    "text scans": text_scans,
    "blank-heavy scans": blank_heavy_scans,
    "disks": disks,
    "sparse stars": sparse_stars,
    "grey blobs": grey_blobs,
    "flat icons": flat_icons,
    "natural repeats": natural_repeats,
    "near duplicates": near_duplicates,
}


def array_kind(images: Pixels) -> Draw:
    """Draws from a set, without replacement."""

    def draw(count: int, rng: np.random.Generator) -> Pixels:
        return images[rng.permutation(len(images))[:count]]

    return draw


def digits() -> Pixels:
    """The 1,797 handwritten digits of scikit-learn, 8 x 8."""
    from sklearn.datasets import load_digits

    images: Pixels = (load_digits().images * (255 / 16)).round().astype(np.uint8)[:, None]
    return images


def clothes(root: Path, count: int = 12_000) -> Pixels:
    """Fashion-MNIST's first training images, 28 x 28, from a folder that holds its files.

    Raises:
        UserError: if it does not.
    """
    images = FashionMNIST().open(root, "train")
    return images.read(torch.arange(count))[:, :1, 2:-2, 2:-2].numpy().copy()


def photographs(folder: Path) -> tuple[Pixels, list[str]]:
    """All images below a folder, and the folder that each lies in, its class."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return np.stack(pixels).transpose(0, 3, 1, 2).copy(), [file.parent.name for file in files]
