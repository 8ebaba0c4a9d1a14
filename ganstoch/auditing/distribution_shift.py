"""Whether generated images lie as far from the training images as unseen real ones do."""

import math
from dataclasses import dataclass

from torch import Tensor

from ganstoch.auditing.inputs import Role
from ganstoch.auditing.searches import Searches
from ganstoch.metrics.excess import Excess

_USUAL = 1.96  # standard errors of a 95 % interval: what is reported
STRICT = 3.29  # of a 99.9 % interval: what a verdict rests on, for an audit looks at many things
_BY_NATURE = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class DistributionShift:
    """How far generated images lie from the training images."""

    # Median distance over that of unseen real images: above 1 for noise, below 1 for edited copies.
    median_ratio: float
    interval: tuple[float, float]  # of 95 %
    sure: tuple[float, float]  # of 99.9 %
    far: Excess  # images farther than 99 in 100 unseen real ones: a part may be noise
    is_far: dict[Role, Tensor]  # which images of each set, bool; of no held-out images none


def distribution_shift(searches: Searches) -> DistributionShift:
    """Compares median distances, and counts generated images beyond 99 in 100 unseen ones."""
    near, usual = searches.generated.neighbours.distances, searches.unseen_distances
    wider = math.sqrt(searches.design)
    low, ratio, high = _median_ratio(near, usual, searches.unseen_nearest, z=wider * _USUAL)
    sure_low, _, sure_high = _median_ratio(near, usual, searches.unseen_nearest, z=wider * STRICT)
    limit = usual.sort(descending=True).values[max(1, int(_BY_NATURE * len(usual))) - 1]
    is_far, unseen = near > limit, searches.held_out
    return DistributionShift(
        median_ratio=ratio,
        interval=(low, high),
        sure=(sure_low, sure_high),
        # The real one at the limit too: it was chosen among them.
        far=Excess(int(is_far.sum()), len(near), int((usual >= limit).sum()), len(usual)).by_groups(
            searches.design
        ),
        is_far={
            "generated": is_far,
            "real": searches.left_out.beyond_near_duplicates() > limit,
            "held_out": is_far[:0] if unseen is None else unseen.neighbours.distances > limit,
        },
    )


def _median_ratio(
    made: Tensor, past: Tensor, nearest: Tensor, *, z: float
) -> tuple[float, float, float]:
    """Low end, estimate and high end: to ``past`` near-duplicates if above 1, else ``nearest``."""
    (middle, low, high), (far, _, far_high), (near, near_low, _) = (
        median_interval(values, z=z) for values in (made, past, nearest)
    )
    # Data of which most images have a duplicate have a median of 0: then nothing is too near.
    above = middle / far if far > 0 else 0.0
    below = middle / near if near > 0 else math.inf
    return (
        low / far_high if far_high > 0 else 0.0,
        above if above > 1 else min(1.0, below),
        high / near_low if near_low > 0 else math.inf,
    )


def median_interval(values: Tensor, *, z: float = _USUAL) -> tuple[float, float, float]:
    """The median and its interval: the values of rank n/2 -+ z sqrt(n)/2, as ranks are binomial."""
    rising, n = values.sort().values, len(values)
    reach = z * math.sqrt(n) / 2
    low, high = max(0, math.floor(n / 2 - reach)), min(n - 1, math.ceil(n / 2 + reach))
    middle = rising.quantile(0.5).item() if n < 2**24 else rising[n // 2].item()
    return middle, rising[low].item(), rising[high].item()
