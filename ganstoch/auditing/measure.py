"""What an audit measures in every feature space, each with unseen real images in the same place.

None of this is a verdict: see `findings`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ganstoch.auditing.appearance import Appearance
from ganstoch.auditing.distance import DistanceToData, distance_to_data
from ganstoch.auditing.missed import Missed, missed_images
from ganstoch.auditing.proportions import Proportions, proportions
from ganstoch.auditing.readings import (
    MOST,
    against_held_out,
    copy_readings,
    distance_readings,
    likeness_readings,
    manifold_readings,
    variety_readings,
)
from ganstoch.auditing.repeated import Repeated, repeated_images
from ganstoch.auditing.searches import Searches, search
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.auditing.variety import same_below, support
from ganstoch.metrics.birthday import Support
from ganstoch.metrics.copies import CopiedShare, share_of_copies
from ganstoch.metrics.ct_score import CTScore, ct_score
from ganstoch.metrics.train_vs_held_out import TrainVsHeldOutScore, train_vs_held_out
from ganstoch.report.audit_report import Reading

__all__ = ["Measured", "measure", "readings_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One space, measured.

    Attributes:
        space: which.
        searches: who is nearest to whom.
        copied: share of copies.
        distance: how far generated images lie from the data.
        repeated: which are nearly another one.
        missed: training images left out.
        proportions: counts over clusters and, where there are labels, over classes.
        variety: how many different images there seem to be among the generated.
        variety_usual: the same of real images.
        nearer: the test against held-out images; None without.
        copying: the three-sample test against held-out images; None without.
    """

    space: Space
    searches: Searches
    copied: CopiedShare
    distance: DistanceToData
    repeated: Repeated
    missed: Missed
    proportions: tuple[Proportions, ...]
    variety: Support
    variety_usual: Support
    nearer: TrainVsHeldOutScore | None
    copying: CTScore | None


def measure(
    space: Space, looks: Appearance | None = None, *, labels: tuple[str, ...] | None = None
) -> Measured:
    """Measures everything in one space.

    Args:
        space: the sets' features.
        looks: which images look like no real one; None for none.
        labels: class of each training image.

    Raises:
        ValueError: for fewer images than the measures need.
    """
    searches = search(space)
    copied = share_of_copies(
        searches.generated.scores, searches.unseen_scores, groups=searches.unseen_groups
    )
    distance = distance_to_data(searches)
    repeated = repeated_images(space)
    # Half-way: an interval's low end would let noise pass for modes, its high end hide real ones.
    missed = missed_images(space, searches, offset=distance.offset, labels=labels)
    counts = proportions(space, searches, labels=labels, **_odd(distance, looks))
    below = same_below(space, searches.left_out.neighbours)
    variety = support(space, space.generated, threshold=below, part="generated")
    others = space.real if space.held_out is None else space.held_out
    usual = support(space, others, threshold=below, part="real")
    nearer = copying = None
    if space.held_out is not None:
        ids = sample_ids(len(space.generated), MOST, seed=space.seed, part="nearer")
        sets = (take(space.generated, ids), space.real, space.held_out)
        nearer = train_vs_held_out(*sets, norm=space.norm, seed=space.seed)
        copying = ct_score(*sets, norm=space.norm, seed=space.seed)
    return Measured(
        space=space,
        searches=searches,
        copied=copied,
        distance=distance,
        repeated=repeated,
        missed=missed,
        proportions=counts,
        variety=variety,
        variety_usual=usual,
        nearer=nearer,
        copying=copying,
    )


def readings_of(measured: Measured) -> dict[str, Reading]:
    """All numbers of a space, by name."""
    space, searches, name = measured.space, measured.searches, measured.space.name
    return {
        **distance_readings(space, searches),
        **copy_readings(name, searches, measured.copied),
        **against_held_out(name, measured.nearer, measured.copying),
        **likeness_readings(
            name, measured.distance, measured.repeated, measured.missed, measured.proportions
        ),
        **variety_readings(name, measured.variety, measured.variety_usual),
        **manifold_readings(space, searches),
    }


def _odd(distance: DistanceToData, looks: Appearance | None) -> dict[str, torch.Tensor]:
    """Images that look like no real one, which are not counted by class."""
    odd = {
        "odd_generated": distance.is_far,
        "odd_real": distance.real_is_far,
        "odd_held_out": distance.held_out_is_far,
    }
    if looks is None:
        return odd
    by_looks = (looks.flagged, looks.real, looks.held_out)
    return {
        name: by_distance | torch.from_numpy(flagged)
        for (name, by_distance), flagged in zip(odd.items(), by_looks, strict=True)
    }
