"""Which edited copies a feature space finds, and how often it takes unseen images for copies.

    python -m ganstoch.bench.edits --photographs FOLDER --out results/edits

Of training images, copies are made under one kind of edit after the other, five in a hundred of the
generated images, and scored as the audit scores them: a copy is found if its score is at or below
the threshold that `share_of_copies` takes from held-out images; false alarms are counted on unseen
images which had no part in it.
"""

import argparse
import importlib.util
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont
from torch import Tensor
from tqdm import tqdm

from ganstoch.auditing.edited import SEARCHED
from ganstoch.auditing.inputs import open_images
from ganstoch.errors import UserError
from ganstoch.metrics.copies import share_of_copies
from ganstoch.metrics.copy_score import copy_scores
from ganstoch.metrics.edited_copies import EDITED_LIMIT, edited_copy_scores
from ganstoch.metrics.excess import clopper_pearson
from ganstoch.metrics.features import make_extractor, missing_weights
from ganstoch.records import write_atomically

Picture = Image.Image
Chance = np.random.Generator
_SHARE = 0.05  # of the generated images that are copies
_COPIES = 200  # at most
# Photographs that come with scikit-learn and scikit-image: of which copies are made, and others.
_TRAIN: tuple[str, ...] = ("sklearn/datasets/images/china.jpg", "skimage/data/astronaut.png")
_TRAIN += ("skimage/data/coffee.png", "skimage/data/rocket.jpg", "skimage/data/ihc.png")
_OTHERS: tuple[str, ...] = ("sklearn/datasets/images/flower.jpg", "skimage/data/chelsea.png")
_OTHERS += ("skimage/data/motorcycle_left.png",)
_HELD_OUT, _UNSEEN = 300, 600  # squares of the others
_PLAIN = 8.0  # standard deviation of grey levels below which a square shows but sky
SPACES = ("pixel", SEARCHED, "efficientnet_lite0", "sscd_distilled", "sscd")


def _jpeg(picture: Picture, quality: int) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _shift(picture: Picture, pixels: int, rng: Chance) -> Picture:
    """Up to so many pixels along both axes, along one as many; the edge is repeated."""
    along = int(rng.choice([-pixels, pixels])), int(rng.integers(-pixels, pixels + 1))
    down, right = along if rng.random() < 0.5 else along[::-1]
    around = np.pad(np.asarray(picture), ((pixels, pixels), (pixels, pixels), (0, 0)), "edge")
    window = around[pixels - down :, pixels - right :][: picture.height, : picture.width]
    return Image.fromarray(np.ascontiguousarray(window))


def _crop(picture: Picture, share: float, rng: Chance) -> Picture:
    width, height = (round(share * side) for side in picture.size)
    left, top = rng.integers(picture.width - width + 1), rng.integers(picture.height - height + 1)
    box = (int(left), int(top), int(left) + width, int(top) + height)
    return picture.crop(box).resize(picture.size, Image.Resampling.BICUBIC)


def _noise(picture: Picture, sigma: float, rng: Chance) -> Picture:
    levels = np.asarray(picture) + rng.normal(0, sigma, (picture.height, picture.width, 3))
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def _halved(picture: Picture) -> Picture:
    small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


def _rotated(picture: Picture, degrees: float) -> Picture:
    edge = picture.width // 4
    around = np.pad(np.asarray(picture), ((edge, edge), (edge, edge), (0, 0)), "reflect")
    turned = Image.fromarray(around).rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((edge, edge, edge + picture.width, edge + picture.height))


def _captioned(picture: Picture) -> Picture:
    picture = picture.copy()
    font = ImageFont.load_default(picture.width // 5)
    place = (picture.width // 2, picture.height // 2)
    ImageDraw.Draw(picture).text(place, "SAMPLE", "white", font, anchor="mm")
    return picture


def _either(rng: Chance, share: float) -> float:
    return 1 + share * int(rng.choice([-1, 1]))


EDITS: dict[str, Callable[[Picture, Chance], Picture]] = {
    "exact": lambda picture, _: picture,
    "JPEG, quality 50": lambda picture, _: _jpeg(picture, 50),
    "JPEG, quality 20": lambda picture, _: _jpeg(picture, 20),
    "mirrored": lambda picture, _: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "shifted by 1 px": lambda picture, rng: _shift(picture, 1, rng),
    "shifted by 2 px": lambda picture, rng: _shift(picture, 2, rng),
    "shifted by 4 px": lambda picture, rng: _shift(picture, 4, rng),
    "cropped to 90 %": lambda picture, rng: _crop(picture, 0.9, rng),
    "cropped to 75 %": lambda picture, rng: _crop(picture, 0.75, rng),
    "brightness 15 %": lambda p, rng: ImageEnhance.Brightness(p).enhance(_either(rng, 0.15)),
    "contrast 15 %": lambda p, rng: ImageEnhance.Contrast(p).enhance(_either(rng, 0.15)),
    "grey": lambda picture, _: picture.convert("L").convert("RGB"),
    "noise, sigma 8": lambda picture, rng: _noise(picture, 8, rng),
    "noise, sigma 16": lambda picture, rng: _noise(picture, 16, rng),
    "blurred": lambda picture, _: picture.filter(ImageFilter.GaussianBlur(1)),
    "halved and enlarged": lambda picture, _: _halved(picture),
    "turned by 5 degrees": lambda picture, rng: _rotated(picture, float(rng.choice([-5, 5]))),
    "captioned": lambda picture, _: _captioned(picture),
}


class Sets(NamedTuple):
    """Images (N, 3, H, W), uint8, that have nothing in common but for their kind."""

    train: Tensor
    held_out: Tensor  # which decide the threshold
    unseen: Tensor  # on which false alarms are counted


def folder_of(folder: Path, *, train: int) -> Sets:
    """Images of a folder: so many to train on, as many held out, and unseen ones for 5 % copies."""
    images = open_images(folder, role="real")
    copies = min(_COPIES, train)
    sizes = train, train, round(copies / _SHARE) - copies
    if len(images) < sum(sizes):
        raise UserError(f"{folder} holds {len(images):,} images and not {sum(sizes):,}; give more")
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(images))[: sum(sizes)])
    return Sets(*images.read(order).tensor_split([train, 2 * train]))


def squares(side: int) -> Sets:
    """Of photographs: squares side by side of some, and squares anywhere in others."""
    rng = np.random.default_rng(side)
    trained, others = [], list[Tensor]()
    for picture in map(_packaged, _TRAIN):
        cut = picture.unfold(1, side, side).unfold(2, side, side)
        trained += list(cut.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side))
    pictures = [_packaged(file) for file in _OTHERS]
    while len(others) < _HELD_OUT + _UNSEEN:
        picture = pictures[rng.integers(len(pictures))]
        top, left = (int(rng.integers(size - side + 1)) for size in picture.shape[1:])
        square = picture[:, top : top + side, left : left + side]
        others += [square] if square.float().std() > _PLAIN else []
    train = torch.stack([square for square in trained if square.float().std() > _PLAIN])
    return Sets(train, *torch.stack(others).tensor_split([_HELD_OUT]))


def _packaged(file: str) -> Tensor:
    """A photograph (3, H, W) that comes with a library."""
    module, _, rest = file.partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f"{file} is missing; run: pip install scikit-image scikit-learn")
    picture = Image.open(Path(spec.origin).parent / rest).convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def edited(images: Tensor, name: str) -> Tensor:
    """Images under an edit, each drawn on its own; the same each time."""
    made = []
    for i, image in enumerate(images):
        rng = np.random.default_rng([i, *name.encode()])
        picture = EDITS[name](Image.fromarray(image.permute(1, 2, 0).numpy()), rng)
        made.append(torch.from_numpy(np.array(picture)))
    return torch.stack(made).permute(0, 3, 1, 2).contiguous()


def measure(sets: Sets, space: str) -> Iterator[dict[str, Any]]:
    """A row for every edit: shares found and of false alarms, with their 95 % intervals."""
    score, limit = _scorer(sets.train, space)
    baseline, unseen = score(sets.held_out), score(sets.unseen)
    copied = sets.train[:_COPIES]
    for name in tqdm(EDITS, space, file=sys.stderr):
        scores = score(edited(copied, name))
        share = share_of_copies(torch.cat([scores, unseen]), baseline, limit=limit)
        row: dict[str, Any] = {"edit": name, "space": space}
        for what, each in (("copies", scores), ("unseen", unseen)):
            count = int((each <= share.threshold).sum())
            low, high = clopper_pearson(count, len(each))
            row |= {what: len(each), f"{what}_found": count / len(each)}
            row |= {f"{what}_low": round(low, 4), f"{what}_high": round(high, 4)}
        yield row | {"threshold": round(share.threshold, 4)}


def _scorer(train: Tensor, space: str) -> tuple[Callable[[Tensor], Tensor], float]:
    """What scores images, and the score above which none counts as a copy."""
    if space == SEARCHED:
        return lambda images: edited_copy_scores(images, train, seed=0)[0].scores, EDITED_LIMIT
    extractor = make_extractor(space)
    rows = extractor(train)
    return (
        lambda images: copy_scores(extractor(images), rows, norm=extractor.norm).scores,
        extractor.copy_limit,
    )


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: for each set of images the share of copies found by edit and space."""
    frame = pd.DataFrame(records)
    text = ""
    for images, rows in frame.groupby("images", sort=False):
        cells = {what: rows.apply(_cell, axis=1, what=what) for what in ("copies", "unseen")}
        shares = rows.assign(cell=cells["copies"])
        first = rows.assign(cell=cells["unseen"]).groupby("space", sort=False).first()
        shown = shares.pivot_table("cell", "edit", "space", aggfunc="first", sort=False)
        shown.loc["false alarms"] = first["cell"]
        copies, unseen = rows["copies"].iloc[0], rows["unseen"].iloc[0]
        text += f"{images}, {copies} copies of each kind, {unseen:,} unseen images:\n\n"
        text += shown.to_markdown() + "\n\n"
    return text.rstrip() + "\n"


def _cell(row: Any, what: str) -> str:
    found, low, high = (100 * row[f"{what}_{part}"] for part in ("found", "low", "high"))
    places = 1 if what == "unseen" else 0
    return f"{found:.{places}f} % ({low:.{places}f}\N{EN DASH}{high:.{places}f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures every space that is there, writes edits.csv and edits.md, and prints the latter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, help="folder of images, as CIFAR-10's")
    parser.add_argument("--train", type=int, default=1000, help="images of it that are trained on")
    parser.add_argument("--spaces", default=",".join(SPACES), help="comma-separated")
    parser.add_argument("--sides", default="64,128", help="of squares of photographs, in pixels")
    parser.add_argument("--out", type=Path, default=Path("results/edits"))
    given = parser.parse_args(arguments)
    spaces = [name.strip() for name in given.spaces.split(",")]
    missing = [reason for name in spaces if (reason := missing_weights(name))]
    if missing:
        parser.error(missing[0])
    sets: dict[str, Callable[[], Sets]] = {}
    if given.photographs is not None:
        name = f"{given.photographs.name}, {given.train:,} training images"
        sets[name] = partial(folder_of, given.photographs, train=given.train)
    for side in filter(None, given.sides.split(",")):
        sets[f"squares of photographs, {side} px"] = partial(squares, int(side))
    records = [
        {"images": name, **row} for name, make in sets.items() for row in _every(make(), spaces)
    ]
    text = table(records)
    csv = pd.DataFrame(records).to_csv(index=False, float_format="%.4g", lineterminator="\n")
    write_atomically(given.out / "edits.csv", csv.encode())
    write_atomically(given.out / "edits.md", text.encode())
    print(text)
    return 0


def _every(sets: Sets, spaces: Sequence[str]) -> Iterator[dict[str, Any]]:
    for space in spaces:
        yield from measure(sets, space)


if __name__ == "__main__":
    sys.exit(main())
