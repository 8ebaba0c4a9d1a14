"""Whether sets of images may be compared with each other at all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganstoch.auditing.images import Images, option
from ganstoch.errors import UserError

__all__ = ["check_alike", "check_disjoint", "exact_copies"]


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


def check_disjoint(real: Images, held_out: Images) -> str | None:
    """Makes sure that held-out images are not the training images again.

    Args:
        real: the images that the generator was trained on.
        held_out: real images that it was not trained on.

    Returns:
        A note for the report if some held-out images are among the real ones, else None.

    Raises:
        UserError: if both are the same folder, file or images, or more than half of the held-out
            images are, pixel for pixel, among the real ones.
    """
    fix = "--held-out must be real images that the generator was not trained on"
    paths = [images.path.resolve() for images in (real, held_out) if images.path is not None]
    if len(paths) == 2 and paths[0] == paths[1]:
        raise UserError(f"{real.where} is given both as --real and as --held-out; {fix}")
    if real.shape != held_out.shape:
        return None
    if real.sha256() == held_out.sha256():
        raise UserError(f"{held_out.where} holds the same images as {real.where}; {fix}")
    copies = len(exact_copies(held_out, among=real))
    if copies == 0:
        return None
    share = f"{copies} of the {len(held_out)} held-out images"
    if 2 * copies > len(held_out):
        raise UserError(f"{share} in {held_out.where} are among those of {real.where}; {fix}")
    verb = "is" if copies == 1 else "are"
    return f"{share} {verb} pixel for pixel among the real ones: baselines are a little too low."


def exact_copies(images: Images, *, among: Images) -> Tensor:
    """Positions of the images that another set holds too, pixel for pixel; int64, ascending.

    Args:
        images: the set that is asked.
        among: the set that is searched; of the same shape, or nothing is found.
    """
    if images.shape != among.shape:
        return torch.empty(0, dtype=torch.int64)
    known = set(among.digests())
    found = [i for i, digest in enumerate(images.digests()) if digest in known]
    return torch.tensor(found, dtype=torch.int64)


def _size(images: Images) -> str:
    return f"{images.shape[2]}x{images.shape[1]}"
