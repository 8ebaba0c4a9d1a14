"""Which generated images look like no real one: too dark, too flat, too rough, too smooth.

For each image and each direction of its looks the other real images that are as extreme are
counted; an image is flagged if its least count is at most that of one real image in a hundred.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ganstoch.auditing.inputs import Role
from ganstoch.metrics.excess import Excess

_BY_NATURE = 0.01
_DIRECTIONS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("flatter", "richer in contrast"),
    "sharpness": ("smoother", "rougher"),
}


@dataclass(frozen=True, eq=False)
class Appearance:
    """Images that look like no real one."""

    excess: Excess
    flagged: dict[Role, NDArray[np.bool_]]  # in each set; held-out: empty without
    words: str  # direction in which most of the flagged generated images are extreme


def appearance(
    real: pd.DataFrame, generated: pd.DataFrame, held_out: pd.DataFrame | None
) -> Appearance:
    """Flags images by their looks (`Content.looks`); training and held-out images are real."""
    unseen = real if held_out is None else pd.concat([real, held_out])
    usual, made, words = [], [], []
    for name, (below, above) in _DIRECTIONS.items():
        own, theirs = unseen[name].to_numpy(), generated[name].to_numpy()
        rising = np.sort(own)
        usual += [np.searchsorted(rising, own, side="right") - 1]
        usual += [len(own) - np.searchsorted(rising, own, side="left") - 1]
        made += [np.searchsorted(rising, theirs, side="right")]
        made += [len(own) - np.searchsorted(rising, theirs, side="left")]
        words += [below, above]
    of_real, of_made = np.min(usual, axis=0), np.min(made, axis=0)
    limit = np.sort(of_real)[max(0, int(_BY_NATURE * len(of_real)) - 1)]
    flagged, natural = of_made <= limit, of_real <= limit
    per_direction = [int((counts <= limit).sum()) for counts in made]
    of_sets: dict[Role, NDArray[np.bool_]] = {"generated": flagged}
    of_sets |= {"real": natural[: len(real)], "held_out": natural[len(real) :]}
    excess = Excess(int(flagged.sum()), len(flagged), int(natural.sum()), len(natural))
    return Appearance(excess, of_sets, words[int(np.argmax(per_direction))])


def no_appearance(real: int, generated: int, held_out: int) -> Appearance:
    """Of so many rows without pixels: nothing is flagged, and nothing could be seen."""
    of_sets: dict[Role, NDArray[np.bool_]] = {"real": np.zeros(real, bool)}
    of_sets |= {"generated": np.zeros(generated, bool), "held_out": np.zeros(held_out, bool)}
    unseen = real + held_out
    return Appearance(Excess(0, generated, unseen, unseen), of_sets, "")
