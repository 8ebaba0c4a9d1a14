"""Images of many kinds to try an audit on: an audit must not accuse because of their nature."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ganstoch.data.torchvision_sets import FashionMNIST

Pixels = NDArray[np.uint8]  # (N, C, H, W)
_SIDE = 16
_Y, _X = np.mgrid[:_SIDE, :_SIDE]


def line_drawings(count: int, rng: np.random.Generator) -> Pixels:
    """Three black strokes on white."""
    pictures = []
    for _ in range(count):
        picture = Image.new("L", (_SIDE, _SIDE), 255)
        for _ in range(3):
            ImageDraw.Draw(picture).line([int(x) for x in rng.integers(0, _SIDE, 4)], fill=0)
        pictures.append(np.asarray(picture)[None])
    return np.stack(pictures)


def text_scans(count: int, rng: np.random.Generator) -> Pixels:
    """Four lines of a typed page, on grainy paper."""
    glyphs = np.random.default_rng(7).random((26, 3, 3)) < 0.5
    pages = rng.normal(235, 4, (count, 1, _SIDE, _SIDE))
    letters = rng.integers(0, 32, (count, 4, 4))  # of which six are spaces
    for i, row, column in np.ndindex(letters.shape):
        if (letter := letters[i, row, column]) < 26:
            pages[i, 0, 4 * row : 4 * row + 3, 4 * column : 4 * column + 3][glyphs[letter]] = 30
    return pages.clip(0, 255).astype(np.uint8)


def blank_heavy_scans(count: int, rng: np.random.Generator) -> Pixels:
    """Seven pages in ten are empty, and white without a grain."""
    pages = text_scans(count, rng)
    pages[rng.random(count) < 0.7] = 255
    return pages


def disks(count: int, rng: np.random.Generator) -> Pixels:
    """One disk at one of 400 places: there are no other images."""
    y, x = np.mgrid[:32, :32]
    at = rng.integers(0, 20, (count, 2))
    squared = (y - 6 - at[:, :1, None]) ** 2 + (x - 6 - at[:, 1:, None]) ** 2
    return np.where(squared <= 16, 255, 0).astype(np.uint8)[:, None]


def sparse_stars(count: int, rng: np.random.Generator) -> Pixels:
    """Three white pixels on black."""
    skies = np.zeros((count, 1, _SIDE, _SIDE), np.uint8)
    for sky in skies.reshape(count, -1):
        sky[rng.choice(_SIDE * _SIDE, 3, replace=False)] = 255
    return skies


def grey_blobs(count: int, rng: np.random.Generator) -> Pixels:
    """Three smooth spots of some brightness, on grey."""
    images = np.full((count, _SIDE, _SIDE), 128.0)
    for _ in range(3):
        at, width = rng.uniform(0, _SIDE, (2, count, 1, 1)), rng.uniform(1.5, 4, (count, 1, 1))
        height = rng.uniform(-100, 100, (count, 1, 1))
        images += height * np.exp(-((_Y - at[0]) ** 2 + (_X - at[1]) ** 2) / (2 * width**2))
    return images.clip(0, 255).astype(np.uint8)[:, None]


def flat_icons(count: int, rng: np.random.Generator) -> Pixels:
    """A shape of one of six colors on one of six: a few thousand icons, some of them common."""
    palette = np.random.default_rng(3).integers(0, 256, (6, 3), dtype=np.uint8)
    icons = np.empty((count, 3, _SIDE, _SIDE), np.uint8)
    for icon in icons:
        ground, color = palette[rng.geometric(0.4, 2) % 6]
        size, cy, cx = int(rng.integers(3, 7)), *rng.integers(6, 10, 2)
        square = np.maximum(abs(_Y - cy), abs(_X - cx)) <= size
        shape = square if rng.random() < 0.5 else (_Y - cy) ** 2 + (_X - cx) ** 2 <= size**2
        icon[:] = np.where(shape, color[:, None, None], ground[:, None, None])
    return icons


def natural_repeats(count: int, rng: np.random.Generator) -> Pixels:
    """One image in three is one of a hundred that everybody has."""
    return _with_common_ones(count, rng, common=grey_blobs(100, np.random.default_rng(5)))


def near_duplicates(count: int, rng: np.random.Generator) -> Pixels:
    """One image in three is one of three hundred that everybody has, slightly changed."""
    images = _with_common_ones(count, rng, common=grey_blobs(300, np.random.default_rng(6)))
    grain = rng.integers(-3, 4, images.shape)
    return (images.astype(np.int16) + grain).clip(0, 255).astype(np.uint8)


def _with_common_ones(count: int, rng: np.random.Generator, *, common: Pixels) -> Pixels:
    images = grey_blobs(count, rng)
    again = rng.random(count) < 1 / 3
    images[again] = common[rng.integers(0, len(common), int(again.sum()))]
    return images


SYNTHETIC: dict[str, Callable[[int, np.random.Generator], Pixels]] = {
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


@cache
def real_images(kind: str, folder: str) -> tuple[Pixels, tuple[str, ...]]:
    """scikit-learn's digits, 12,000 of Fashion-MNIST's clothes, or photographs; their classes."""
    if kind == "digits":
        from sklearn.datasets import load_digits

        return (load_digits().images * (255 / 16)).round().astype(np.uint8)[:, None], ()
    if kind == "clothes":
        images = FashionMNIST().open(Path(folder), "train")
        return images.read(torch.arange(12_000))[:, :1, 2:-2, 2:-2].numpy().copy(), ()
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return np.stack(pixels).transpose(0, 3, 1, 2).copy(), tuple(f.parent.name for f in files)


def draw(kind: str, folder: str, count: int, rng: np.random.Generator) -> Pixels:
    """So many images of a kind: independent, or without replacement out of a real set."""
    if kind in SYNTHETIC:
        return SYNTHETIC[kind](count, rng)
    images, _ = real_images(kind, folder)
    return images[rng.permutation(len(images))[:count]]
