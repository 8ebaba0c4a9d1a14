"""Which generated images look like no real one: too dark, too flat, too rough, too smooth.

An image may lie near the data and be none of them: a black square is near every dark photograph.
For each image and each direction of its `Looks` the real images that are as extreme are counted,
itself left out. An image is flagged if its least count is at most the rank at which one real image
in a hundred is; under the null, real and generated images are flagged alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganstoch.auditing.inputs import Looks
from ganstoch.metrics.excess import Excess

__all__ = ["Appearance", "appearance"]

_BY_NATURE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Appearance:
    """Images that look like no real one.

    Attributes:
        excess: generated images that are flagged, beside real ones.
        flagged: which of the generated images, bool, shape (M,).
        real: which of the training images, bool, shape (N,).
        held_out: which of the held-out images, bool, shape (L,); empty without.
        words: the direction in which most of the flagged generated images are extreme.
    """

    excess: Excess
    flagged: NDArray[np.bool_]
    real: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    words: str


def appearance(real: Looks, generated: Looks, held_out: Looks | None) -> Appearance:
    """Flags images by their looks; training and held-out images are the real ones."""
    unseen = [real] if held_out is None else [real, held_out]
    directions = {
        ("darker", "brighter"): "brightness",
        ("flatter", "richer in contrast"): "contrast",
        ("smoother", "rougher"): "sharpness",
    }
    usual, made, words = [], [], []
    for (below, above), name in directions.items():
        own = np.concatenate([getattr(looks, name) for looks in unseen])
        rising = np.sort(own)
        for word, lower in ((below, True), (above, False)):
            usual.append(_as_extreme(own, rising, lower=lower) - 1)
            made.append(_as_extreme(getattr(generated, name), rising, lower=lower))
            words.append(word)
    of_real, of_made = np.min(usual, axis=0), np.min(made, axis=0)
    limit = np.sort(of_real)[max(0, int(_BY_NATURE * len(of_real)) - 1)]
    flagged, natural = of_made <= limit, of_real <= limit
    per_direction = [int(((counts <= limit) & flagged).sum()) for counts in made]
    return Appearance(
        excess=Excess(
            count=int(flagged.sum()),
            total=len(flagged),
            usual=int(natural.sum()),
            usual_total=len(natural),
        ),
        flagged=flagged,
        real=natural[: len(real.contrast)],
        held_out=natural[len(real.contrast) :],
        words=words[int(np.argmax(per_direction))],
    )


def _as_extreme(
    values: NDArray[np.float64], rising: NDArray[np.float64], *, lower: bool
) -> NDArray[np.int64]:
    """For each value how many of the real ones are at most, or at least, as large."""
    if lower:
        return np.searchsorted(rising, values, side="right")
    return len(rising) - np.searchsorted(rising, values, side="left")
