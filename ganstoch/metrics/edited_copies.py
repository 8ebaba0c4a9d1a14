"""Copies that were mirrored, turned or shifted, searched for among pixels.

With T one of the eight flips and quarter turns, s a shift of at most `_SHIFT` pixels along each
axis and W the window in the middle of an image that no shift moves beyond its edge, the distance of
an image q to a member b is

    min over T and s of  sum over p in W of |T(q)_p - b_(p + s)|,

scaled to all pixels. A first look at thumbnails proposes a few members of each part and how they
are turned, of which the second tries every shift. Unseen images are searched in the same way, so
that what the first look misses is missed for both.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganstoch.metrics.copy_score import CopyScores, random_parts, random_split
from ganstoch.metrics.neighbours import first_equal, first_of_each, times_each
from ganstoch.metrics.neighbours.byte_search import opencv
from ganstoch.metrics.progress import progress_bar

EDITED_LIMIT = 1.0  # copy score above which none is a copy: 1 % of unseen images decide
_SHIFT = 4  # pixels
_SMALL = 24  # side below which images are shifted by one pixel alone
_THUMBNAIL = 6  # side of what the first look compares
_PROPOSED = 4  # members of a part for the second look
_ROWS, _BLOCK = 1024, 8192  # images of a first look, and of both, at a time
_TURNS = ("", "turned by 90 degrees", "turned by 180 degrees", "turned by 270 degrees")


class Edits(NamedTuple):
    """How images must be edited to come to lie as their nearest members do."""

    turns: Tensor  # quarter turns, and 4 where the image is mirrored before, int64, (Q,)
    shifts: Tensor  # pixels down and to the right, int64, (Q, 2)

    def words(self, i: int) -> str:
        """Of one image, e.g. ``mirrored, shifted by 2 px``; "" for none."""
        turn, shift = int(self.turns[i]), int(self.shifts[i].abs().max())
        parts = ["mirrored" if turn >= 4 else "", _TURNS[turn % 4]]
        parts.append(f"shifted by {shift} px" if shift else "")
        return ", ".join(filter(None, parts))


def edited_copy_scores(images: Tensor, train: Tensor, *, seed: int) -> tuple[CopyScores, Edits]:
    """Copy scores of images (Q, C, H, W), uint8, by members (N, C, H, W) under edits, and these."""
    parts = random_parts(train, seed=seed, least=2)
    return _scores(images, train, parts, None)


def left_out_edited_scores(train: Tensor, *, seed: int, groups: Tensor | None = None) -> CopyScores:
    """Of members compared with others, of other groups (N,) if given: as `left_out_scores`."""
    first = first_equal(train.flatten(1))
    if groups is None:
        # Unseen images may equal one that repeats; but every image so often is every image once.
        repeats = torch.bincount(first, minlength=len(train)) > times_each(first)
        groups, members = torch.where(repeats[first], -1, first), torch.unique(first)
    else:
        members = first_of_each(torch.stack([first, groups], dim=1))
    parts = [members[part] for part in random_split(len(members), seed=seed, least=3)]
    return _scores(train, train, parts, groups)[0]


def _scores(
    images: Tensor, train: Tensor, parts: list[Tensor], groups: Tensor | None
) -> tuple[CopyScores, Edits]:
    """Of images in given groups, -1 for none, no member of the same is looked at."""
    distances = torch.empty(len(images), len(parts), dtype=torch.float64)
    ids, edits = (
        torch.empty(len(images), len(parts)).long(),
        torch.empty(*distances.shape, 3).long(),
    )
    blocks = torch.split(torch.arange(len(images)), _BLOCK)
    for (p, part), rows in progress_bar(list(product(enumerate(parts), blocks)), "edited copies"):
        own = None
        if groups is not None:
            own = (groups[rows, None] == groups[part]) & (groups[part] >= 0)
        distances[rows, p], place, edits[rows, p] = _nearest(images[rows], train[part], own)
        ids[rows, p] = part[place]
    best = edits[torch.arange(len(images)), distances.argmin(dim=1)]
    return CopyScores.of(distances, ids), Edits(best[:, 0], best[:, 1:])


def _nearest(images: Tensor, members: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of images (Q, C, H, W) the nearest member's distance and place, (Q,), and edits, (Q, 3)."""
    side = min(images.shape[2:])
    margin = _SHIFT if side >= _SMALL else min(1, (side - 1) // 2)
    reach = range(-margin, margin + 1)
    shifts = list(product(reach, reach))
    middle = _window(images, margin, (0, 0))
    places, turns = _propose(middle, members, own, margin)
    count, pixels = len(images), middle[0].numel()
    order = torch.arange(pixels).view(1, *middle.shape[1:])
    turned = {turn: _turned(order, turn).flatten().numpy() for turn in _turns(middle)}
    queries = middle.reshape(count, -1).numpy()
    distances, found = np.full(count, np.inf), np.zeros((count, 4), np.int64)
    who, column = np.nonzero(places >= 0)
    by_place = np.argsort(places[who, column], kind="stable")
    who, column = who[by_place], column[by_place]
    starts = np.flatnonzero(np.diff(places[who, column], prepend=-1))
    cv2 = opencv()
    for rows, columns in zip(np.split(who, starts[1:]), np.split(column, starts[1:]), strict=True):
        if len(rows) == 0:  # nobody has been proposed to anybody
            break
        place, turn = int(places[rows[0], columns[0]]), turns[rows, columns]
        moved = torch.cat([_window(members[place : place + 1], margin, s) for s in shifts])
        left = np.stack([queries[row, turned[t]] for row, t in zip(rows, turn, strict=True)])
        right = moved.flatten(1).numpy()
        least, which = cv2.batchDistance(left, right, cv2.CV_32S, None, None, cv2.NORM_L1, 1)
        nearer = least[:, 0] < distances[rows]
        distances[rows[nearer]] = least[nearer, 0]
        edits = np.column_stack([np.full(len(rows), place), turn, np.array(shifts)[which[:, 0]]])
        found[rows[nearer]] = edits[nearer]
    scaled = torch.from_numpy(distances) * (images[0].numel() / pixels)
    return scaled, torch.from_numpy(found[:, 0]), torch.from_numpy(found[:, 1:])


def _propose(
    middle: Tensor, members: Tensor, own: Tensor | None, margin: int
) -> tuple[np.ndarray, np.ndarray]:
    """The members that look nearest, -1 for none, and how the images are turned, (Q, P) both."""
    offsets = (-3, 0, 3) if margin == _SHIFT else (0,)
    moved = [_thumbnails(_window(members, margin, s)) for s in product(offsets, offsets)]
    halves = [rows.square().sum(1) / 2 for rows in moved]
    proposed = []
    for rows in torch.split(torch.arange(len(middle)), _ROWS):
        least = torch.full((len(rows), len(members)), torch.inf)
        turns = torch.zeros(least.shape, dtype=torch.uint8)
        for turn in _turns(middle):
            thumbnails = _thumbnails(_turned(middle[rows], turn))
            for bank, half in zip(moved, halves, strict=True):
                # Half of the squared distance, but for the image's own square.
                gaps = torch.addmm(half, thumbnails, bank.T, alpha=-1)
                turns.masked_fill_(gaps < least, turn)
                torch.minimum(least, gaps, out=least)
        if own is not None:
            least.masked_fill_(own[rows], torch.inf)
        near = least.topk(min(_PROPOSED, len(members)), dim=1, largest=False)
        places = near.indices.masked_fill(near.values.isinf(), -1)
        proposed.append(torch.stack([places, turns.gather(1, near.indices).long()]))
    places, turns = torch.cat(proposed, dim=1).numpy()
    return places, turns


def _turns(images: Tensor) -> range:
    """Quarter turns are for squares."""
    return range(8) if images.shape[2] == images.shape[3] else range(0, 8, 2)


def _turned(images: Tensor, turn: int) -> Tensor:
    return torch.rot90(images.flip(3) if turn >= 4 else images, turn % 4, (2, 3))


def _window(images: Tensor, margin: int, shift: tuple[int, int]) -> Tensor:
    (down, right), (height, width) = shift, images.shape[2:]
    rows = slice(margin + down, height - margin + down)
    return images[:, :, rows, margin + right : width - margin + right]


def _thumbnails(images: Tensor) -> Tensor:
    side = min(_THUMBNAIL, *images.shape[2:])
    return F.adaptive_avg_pool2d(images.float(), side).flatten(1)
