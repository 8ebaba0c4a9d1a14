"""Differentiable augmentation: D never sees an image as it is, real or generated [1].

[1] Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", Sec. 3.2. The
same kinds of change, drawn anew for each image, in either player's update; G's gradient goes
through them. It is a source of chance, and is listed as one.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator, Generator
from ganstoch.remedies.base import Remedy, RemedySpec, StepInfo
from ganstoch.types import MicroBatch, Shape

Kind = Literal["color", "translation", "cutout"]
_Draw = Callable[[str], Tensor]  # numbers in [0, 1) by name, shape (N, 1, 1, 1)
_REACH = 0.125  # of a translation, as a share of the side
_CUT = 0.5  # side of the cut square, as a share of the side


class DiffAugment(Remedy):
    """Random color, translation by up to an eighth and a cut-out quarter, in this order.

    Args:
        policy: which of them; none is the plain GAN.
    """

    def __init__(self, *, policy: Sequence[Kind] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        kinds = get_args(Kind)
        self._require(set(policy) <= set(kinds), "policy", list(policy), f"of {', '.join(kinds)}")
        self.policy = tuple(kind for kind in kinds if kind in policy)
        self.spec = RemedySpec(is_noop=not self.policy, stochastic=True)

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Refuses points."""
        if len(shape) != 3:
            raise UserError("DiffAugment changes images, and the data are points; leave it out")

    def augment(self, examples: Tensor, batch: MicroBatch, *, info: StepInfo, seen: str) -> Tensor:
        """Images (M, C, H, W) in [-1, 1], changed; they may leave that range."""

        def draw(name: str) -> Tensor:
            return info.uniform(f"diff_augment/{seen}/{name}", batch).view(-1, 1, 1, 1)

        for kind in self.policy:
            examples = _CHANGES[kind](examples, draw)
        return examples


def _color(x: Tensor, draw: _Draw) -> Tensor:
    """Brightness by +-0.5, saturation by a factor in [0, 2), contrast in [0.5, 1.5)."""
    x = x + (draw("brightness") - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2.0 * draw("saturation")) + grey
    level = x.mean((1, 2, 3), keepdim=True)
    return (x - level) * (draw("contrast") + 0.5) + level


def _translation(x: Tensor, draw: _Draw) -> Tensor:
    """Whole pixels along either side; what comes in is 0, a middle grey."""
    for dim in (2, 3):
        side = x.shape[dim]
        reach = int(side * _REACH + 0.5)
        shift = (draw(f"translation/{dim}") * (2 * reach + 1)).floor().long() - reach
        places = _places(x, dim) + shift
        inside = (places >= 0) & (places < side)
        x = x.gather(dim, places.clamp(0, side - 1).expand_as(x)) * inside
    return x


def _cutout(x: Tensor, draw: _Draw) -> Tensor:
    """A square that may lie across the border is 0."""
    cut = torch.ones((), dtype=torch.bool, device=x.device)
    for dim in (2, 3):
        side = x.shape[dim]
        size = int(side * _CUT + 0.5)
        middle = (draw(f"cutout/{dim}") * (side + 1 - size % 2)).floor().long()
        places = _places(x, dim) - (middle - size // 2)
        cut = cut & (places >= 0) & (places < size)
    return x.masked_fill(cut, 0.0)


def _places(x: Tensor, dim: int) -> Tensor:
    """0, 1, ... along a side, shape (1, ..., side, ..., 1)."""
    shape = [side if i == dim else 1 for i, side in enumerate(x.shape)]
    return torch.arange(x.shape[dim], device=x.device).view(shape)


_CHANGES: dict[Kind, Callable[[Tensor, _Draw], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
