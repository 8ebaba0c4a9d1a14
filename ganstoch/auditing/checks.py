"""Whether sets of images may be compared with each other at all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganstoch.auditing.facts import IDENTICAL_LEVEL, SURELY, coincidences
from ganstoch.auditing.inputs import Images, option
from ganstoch.errors import UserError

__all__ = ["check_alike", "check_disjoint"]


def check_alike(sets: Sequence[Images]) -> None:
    """Makes sure that all sets hold images of one shape.

    Args:
        sets: at least one set; the first is what the others are held against.

    Raises:
        UserError: if one is grey and another is not, or their sizes differ; names both.
    """
    first = sets[0]
    colours = {1: "grey", 3: "RGB"}
    for other in sets[1:]:
        if other.shape[0] != first.shape[0]:
            grey, colour = (first, other) if first.shape[0] == 1 else (other, first)
            raise UserError(
                f"{first.where} holds {colours[first.shape[0]]} images and {other.where} "
                f"{colours[other.shape[0]]} ones; repeat the channel of {option(grey.role)} three "
                f"times, or make {option(colour.role)} grey"
            )
        if other.shape != first.shape:
            side = min(*first.shape[1:], *other.shape[1:])
            raise UserError(
                f"{first.where} holds images of {_size(first)} pixels and {other.where} of "
                f"{_size(other)}; add --resize {side}"
            )


def check_disjoint(real: Images, held_out: Images, *, seed: int) -> tuple[Tensor, str | None]:
    """Makes sure that held-out images are not the training images again.

    Images that repeat by nature, blank pages for one, may be in both sets; those that the data's
    own repeats do not explain (`coincidences`) were trained on.

    Args:
        real: the images that the generator was trained on.
        held_out: real images that it was not trained on.
        seed: decides the test's permutations.

    Returns:
        Positions of the held-out images that may be kept, int64, ascending; and a note for the
        report if there is something to say of the others.

    Raises:
        UserError: if both are the same folder, file or images, or more than half of the different
            held-out images are, pixel for pixel, among the real ones, for no reason of the data's.
    """
    fix = "--held-out must be real images that the generator was not trained on"
    paths = [images.path.resolve() for images in (real, held_out) if images.path is not None]
    if len(paths) == 2 and paths[0] == paths[1]:
        raise UserError(f"{real.where} is given both as --real and as --held-out; {fix}")
    everyone = torch.arange(len(held_out))
    if real.shape != held_out.shape:
        return everyone, None
    if real.sha256() == held_out.sha256():
        raise UserError(f"{held_out.where} holds the same images as {real.where}; {fix}")
    found = coincidences(real.digests(), held_out.digests(), seed=seed)
    if not found.identical:
        return everyone, None
    digests = held_out.digests()
    among = {digests[i] for i in (*found.identical, *found.common)}
    share = f"{len(found.identical)} of the {len(held_out)} held-out images"
    verb = "is" if len(found.identical) == 1 else "are"
    repeats = len(set(real.digests())) < len(real)
    if found.identical_p > (SURELY if repeats else IDENTICAL_LEVEL):
        return everyone, f"{share} {verb} pixel for pixel among the real ones, as repeats may be."
    if 2 * len(among) > len(set(digests)):
        raise UserError(f"{share} in {held_out.where} are among those of {real.where}; {fix}")
    kept = torch.ones(len(held_out), dtype=torch.bool)
    kept[list(found.identical)] = False
    return everyone[kept], f"{share} {verb} pixel for pixel among the real ones, and left out."


def _size(images: Images) -> str:
    return f"{images.shape[2]}x{images.shape[1]}"
