"""Copies with edits: the search for them among pixels, and which edits a space was seen to find."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ganstoch.auditing.searches import Searches, Space
from ganstoch.metrics.copies import CopiedShare, share_of_copies
from ganstoch.metrics.edited_copies import (
    EDITED_LIMIT,
    Edits,
    edited_copy_scores,
    left_out_edited_scores,
)
from ganstoch.types import Neighbours

SEARCHED = "pixel with edits searched"
# By space the edits of which 90 in 100 copies are found at 1 % false alarms, in every set of
# photographs of `python -m ganstoch.bench.edits`; results/edits has the numbers.
_EDITS = (
    "exact; JPEG, quality 50; JPEG, quality 20; mirrored; shifted by 1 px; shifted by 2 "
    "px; shifted by 4 px; cropped to 90 %; cropped to 75 %; brightness 15 %; contrast 15 "
    "%; grey; noise, sigma 8; noise, sigma 16; blurred; halved and enlarged; turned by 5 "
    "degrees; captioned"
)
EDITS = tuple(_EDITS.split("; "))
_FOUND = {
    "pixel": (
        "exact; JPEG, quality 50; JPEG, quality 20; contrast 15 %; blurred; halved and "
        "enlarged; captioned"
    ),
    SEARCHED: (
        "exact; JPEG, quality 50; mirrored; shifted by 1 px; shifted by 2 px; shifted by 4 px"
    ),
    "efficientnet_lite0": ("exact; brightness 15 %; contrast 15 %"),
    "sscd_distilled": (
        "exact; JPEG, quality 50; mirrored; shifted by 1 px; shifted by 2 px; shifted by 4 "
        "px; cropped to 90 %; cropped to 75 %; brightness 15 %; contrast 15 %; grey; noise, "
        "sigma 8; blurred; halved and enlarged; turned by 5 degrees; captioned"
    ),
    "sscd": (
        "exact; mirrored; shifted by 1 px; shifted by 2 px; shifted by 4 px; cropped to 90 %; "
        "cropped to 75 %; brightness 15 %; contrast 15 %; grey; noise, sigma 8; blurred; "
        "halved and enlarged; turned by 5 degrees; captioned"
    ),
}
FOUND = {space: tuple(edits.split("; ")) for space, edits in _FOUND.items()}
_PLAIN = {"pixel_l1": "pixel", "efficientnet_lite0_64px_l2": "efficientnet_lite0"}
_PLAIN |= {"sscd_l2": "sscd", "sscd_distilled_l2": "sscd_distilled"}


class EditedCopies(NamedTuple):
    """Generated images searched for under edits, and unseen real ones alike."""

    copied: CopiedShare
    neighbours: Neighbours  # nearest training image of each generated one, under edits
    edits: Edits
    unseen_distances: Tensor  # of unseen real images, float64, (R,)


def search_edits(space: Space, searches: Searches, shape: tuple[int, ...]) -> EditedCopies:
    """Searches pixels of images of a shape (C, H, W) for copies that were mirrored or shifted."""
    real, made = space.real.view(-1, *shape), space.generated.view(-1, *shape)
    scores, edits = edited_copy_scores(made, real, seed=space.seed)
    unseen = []
    if space.held_out is not None:
        held_out = space.held_out.view(-1, *shape)
        unseen.append(edited_copy_scores(held_out, real, seed=space.seed)[0])
    if sum(len(each.scores) for each in unseen) < len(searches.unseen_scores):
        unseen.append(left_out_edited_scores(real, seed=space.seed, groups=space.real_groups))
    copied = share_of_copies(
        scores.scores,
        torch.cat([each.scores for each in unseen]),
        groups=searches.unseen_groups,
        design=searches.design,
        limit=EDITED_LIMIT,
    )
    distances = torch.cat([each.neighbours.distances for each in unseen])
    return EditedCopies(copied, scores.neighbours, edits, distances)


def space_of_edits(name: str, *, searched: bool) -> str:
    """The name of a space in `FOUND`, from that of an extractor."""
    return SEARCHED if searched else _PLAIN.get(name, name)


def missed_edits(spaces: Sequence[str]) -> list[str] | None:
    """Edits that none of these spaces finds; None if no one's have been measured."""
    known = [FOUND[name] for name in spaces if name in FOUND]
    return [edit for edit in EDITS if not any(edit in found for found in known)] if known else None


def edits_words(space: str) -> str:
    """Sentences on which edited copies a space finds."""
    if space not in FOUND:
        return f"Which edited copies {space} finds has not been measured."
    found, missed = "; ".join(FOUND[space]), "; ".join(missed_edits([space]) or [])
    rest = f". Fewer of: {missed}" if missed else ""
    return (
        f"By {space} 90 in 100 copies were found, in a test on photographs at 1 % false alarms, of "
        f"these kinds: {found}{rest}."
    )
