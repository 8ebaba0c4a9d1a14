"""What an audit measures in every feature space, each with held-out images in the same place.

None of this is a verdict: see `findings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ganstoch.auditing.likeness import Likeness, likeness
from ganstoch.auditing.missed import Missed, missed_images
from ganstoch.auditing.readings import (
    MOST,
    against_held_out,
    copy_readings,
    distance_readings,
    likeness_readings,
    manifold_readings,
    variety_readings,
)
from ganstoch.auditing.searches import Searches, search
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.auditing.variety import same_below, support
from ganstoch.metrics.birthday import Support
from ganstoch.metrics.copied import CopiedShare, share_of_copies
from ganstoch.metrics.nearer import Nearer, nearer_to_train
from ganstoch.reporting.audit_report import Reading

__all__ = ["Measured", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One space, measured.

    Attributes:
        space: which.
        searches: who is nearest to whom.
        copied: share of copies.
        unseen: how many real images said what is natural, of `copied`.
        likeness: whether generated images are of the data's kind.
        missed: training images left out.
        variety: how many different images there seem to be among the generated.
        variety_usual: the same of real images.
        nearer: the test against held-out images; None without.
        readings: all numbers, by name.
    """

    space: Space
    searches: Searches
    copied: CopiedShare
    unseen: int
    likeness: Likeness
    missed: Missed
    variety: Support
    variety_usual: Support
    nearer: Nearer | None
    readings: dict[str, Reading]


def measure(space: Space, *, labels: tuple[str, ...] | None = None) -> Measured:
    """Measures everything in one space.

    Args:
        space: the sets' features.
        labels: class of each training image.

    Raises:
        ValueError: for fewer images than the measures need.
    """
    searches = search(space)
    copied = share_of_copies(searches.generated.scores, searches.unseen, seed=space.seed)
    like = likeness(space, searches)
    # Half-way: an interval's low end would let noise pass for modes, its high end hide real ones.
    missed = missed_images(searches, offset=like.offset, labels=labels)
    below = same_below(space, searches.within)
    variety = support(space, space.generated, threshold=below, part="generated")
    others = space.real if space.held_out is None else space.held_out
    usual = support(space, others, threshold=below, part="real")
    nearer = _nearer(space)
    name = space.name
    readings = {
        **distance_readings(space, searches),
        **copy_readings(name, searches, copied),
        **against_held_out(space, nearer),
        **likeness_readings(name, like, missed),
        **variety_readings(name, variety, usual),
        **manifold_readings(space),
    }
    return Measured(
        space=space,
        searches=searches,
        copied=copied,
        unseen=len(searches.unseen),
        likeness=like,
        missed=missed,
        variety=variety,
        variety_usual=usual,
        nearer=nearer,
        readings=readings,
    )


def _nearer(space: Space) -> Nearer | None:
    if space.held_out is None:
        return None
    ids = sample_ids(len(space.generated), MOST, seed=space.seed, part="nearer")
    return nearer_to_train(
        take(space.generated, ids), space.real, space.held_out, norm=space.norm, seed=space.seed
    )
