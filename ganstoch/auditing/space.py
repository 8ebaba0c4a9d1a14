"""One feature space of an audit: the sets' features in it, and how they are thinned alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.metrics.features import Extractor
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Norm

__all__ = ["Space", "sample_ids", "take"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """The sets of an audit as one extractor sees them.

    Attributes:
        extractor: what made the features.
        real: features of the training images, shape (N, F), uint8 or floats.
        generated: of the generated images, shape (M, F).
        held_out: of real images that were not trained on, shape (L, F); None where there are none.
        seed: decides every thinning.
    """

    extractor: Extractor
    real: Tensor
    generated: Tensor
    held_out: Tensor | None
    seed: int

    @property
    def name(self) -> str:
        """Part of a measure's key, e.g. ``pixel_l1``."""
        return self.extractor.name

    @property
    def norm(self) -> Norm:
        """By which two rows are compared."""
        return self.extractor.norm

    @property
    def scale(self) -> float:
        """What a distance is divided by."""
        return self.extractor.scale(self.real.shape[1])

    @property
    def unit(self) -> str:
        """Of a scaled distance."""
        return "grey levels" if self.is_pixels else "units of the features"

    @property
    def is_pixels(self) -> bool:
        """Whether rows are grey levels rather than a network's activations."""
        return self.name.startswith("pixel")


def sample_ids(count: int, most: int, *, seed: int, part: str) -> Tensor:
    """Ids of at most ``most`` of ``count`` images, drawn at random, ascending, int64."""
    rng = rng_for(seed, "evaluation", part=f"audit/{part}")
    return without_replacement(count, min(count, most), rng).sort().values


def take(features: Tensor, ids: Tensor) -> Tensor:
    """Rows of features; the features themselves, uncopied, where that is all of them."""
    if len(ids) == len(features) and bool((ids == torch.arange(len(ids))).all()):
        return features
    return features[ids.to(features.device)]
