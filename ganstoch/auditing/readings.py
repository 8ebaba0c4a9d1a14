"""The numbers of a space as a report has them: value, baseline, interval, meaning.

Where sizes would decide a number, sets are thinned alike, and how is said at each measure; what is
quadratic in the images is asked of a sample.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganstoch.auditing.likeness import Likeness
from ganstoch.auditing.missed import BY_NATURE, Missed
from ganstoch.auditing.searches import Searches
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.metrics.authenticity import authenticity_of
from ganstoch.metrics.birthday import Support
from ganstoch.metrics.copied import CopiedShare, replication_share
from ganstoch.metrics.data_copying import data_copying
from ganstoch.metrics.functional import Tail, tail_means
from ganstoch.metrics.manifold import prdc
from ganstoch.metrics.nearer import Nearer
from ganstoch.reporting.audit_report import Reading

__all__ = [
    "MOST",
    "K",
    "against_held_out",
    "copy_readings",
    "distance_readings",
    "likeness_readings",
    "manifold_readings",
    "variety_readings",
]

K = 5
"""Neighbours that make the radius of a ball, for precision, recall, density and coverage."""

MOST = 10_000
"""Images of each set that the measures look at whose work grows with the square of the images."""

_NEAR = 0.01

_PARTS = {
    "mean": "the mean",
    "worst10": "the mean of the farthest 10 %",
    "worst5": "the mean of the farthest 5 %",
}


def _tail(key: str, value: Tail, baseline: Tail, *, meaning: str) -> dict[str, Reading]:
    return {
        f"{key}/{part}": Reading(
            value=getattr(value, part),
            baseline=getattr(baseline, part),
            wanted="baseline",
            meaning=f"{meaning}, {words}.",
        )
        for part, words in _PARTS.items()
    }


def distance_readings(space: Space, searches: Searches) -> dict[str, Reading]:
    """Distances both ways, the second averaged over blocks: the nearest of more is nearer."""

    def average(found: tuple[Tensor, ...]) -> Tail:
        tails = [tail_means(distances / space.scale) for distances in found]
        return Tail(
            mean=sum(t.mean for t in tails) / len(tails),
            worst10=sum(t.worst10 for t in tails) / len(tails),
            worst5=sum(t.worst5 for t in tails) / len(tails),
        )

    return _tail(
        f"overfitting/{space.name}",
        tail_means(searches.generated.neighbours.distances / space.scale),
        tail_means(searches.unseen_distances / space.scale),
        meaning=f"Distance of generated images to their nearest training image in {space.unit}",
    ) | _tail(
        f"mode_drop/{space.name}",
        average(searches.reach_generated),
        average(searches.reach_real),
        meaning=f"Distance of training images to the nearest of {searches.size:,} generated images "
        f"in {space.unit}",
    )


def copy_readings(name: str, searches: Searches, copied: CopiedShare) -> dict[str, Reading]:
    """Copies, and two older measures of them."""
    near, usual = searches.generated.neighbours, searches.unseen_distances
    limit = usual.quantile(_NEAR).item()
    within, held_out = searches.within.distances, searches.held_out
    return {
        f"copied/{name}": Reading(
            value=copied.estimate,
            low=copied.low,
            high=copied.high,
            wanted="low",
            meaning="Share of generated images that are copies of training images, beyond what "
            "unseen real images show.",
        ),
        f"replication/{name}": Reading(
            value=replication_share(near.distances, threshold=limit),
            baseline=replication_share(usual, threshold=limit),
            wanted="baseline",
            meaning="Share of generated images as near to a training image as the nearest 1 % of "
            "unseen real images are; blur raises it too.",
        ),
        f"authpct/{name}": Reading(
            value=authenticity_of(near, within).percent,
            baseline=None if held_out is None else authenticity_of(held_out, within).percent,
            wanted="baseline",
            meaning="Percentage of generated images that are farther from their nearest training "
            "image than that is from its own nearest; low for copies, high for noise.",
        ),
    }


def against_held_out(space: Space, nearer: Nearer | None) -> dict[str, Reading]:
    """The tests that need held-out images; nothing without."""
    if space.held_out is None or nearer is None:
        return {}
    ids = sample_ids(len(space.generated), MOST, seed=space.seed, part="nearer")
    test = data_copying(
        take(space.generated, ids), space.real, space.held_out, norm=space.norm, seed=space.seed
    )
    counted = sum(cell.counted for cell in test.cells)
    name = space.name
    found = {
        f"nearer_to_train/{name}": Reading(
            value=nearer.share,
            baseline=nearer.expected,
            low=nearer.low,
            high=nearer.high,
            p_value=nearer.p_value,
            wanted="baseline",
            meaning="Share of generated images nearer to a training image than to as many held-out "
            "ones.",
        ),
        f"ct/{name}/z": Reading(
            value=test.z,
            baseline=0.0,
            wanted="baseline",
            meaning="Whether distances to the training set are smaller (below -3: copying) or "
            "larger (above 3) than those of held-out images, in standard errors.",
        ),
    }
    if math.isfinite(test.value):
        found[f"ct/{name}/value"] = Reading(
            value=test.value,
            baseline=0.0,
            wanted="baseline",
            meaning=f"C_T: the same within cells of the data, {counted} of {len(test.cells)} "
            "counted, averaged.",
        )
    return found


def likeness_readings(name: str, like: Likeness, missed: Missed) -> dict[str, Reading]:
    """What is missed, and whether generated images are of the data's kind."""
    return {
        f"missed/{name}": Reading(
            value=missed.rate,
            baseline=BY_NATURE,
            wanted="baseline",
            meaning="Share of training images that are farther from the generated images than 99 % "
            "of them are from unseen real images in their place.",
        ),
        f"offset/{name}": Reading(
            value=like.offset,
            baseline=1.0,
            low=like.offset_low,
            high=like.offset_high,
            wanted="baseline",
            meaning="Median distance of generated images to the training images, over that of "
            "unseen real images.",
        ),
        f"cluster/{name}": Reading(
            value=like.cluster,
            baseline=like.cluster_baseline,
            low=like.cluster_low,
            high=like.cluster_high,
            wanted="baseline",
            meaning="Share of generated images nearer to another generated image than to as many "
            "training images.",
        ),
    }


def variety_readings(name: str, variety: Support, usual: Support) -> dict[str, Reading]:
    """How many different images there seem to be."""
    bounded = math.isfinite(variety.estimate) and math.isfinite(variety.high)
    return {
        f"birthday/{name}/support": Reading(
            value=variety.estimate if bounded else variety.low,
            low=variety.low if bounded else None,
            high=variety.high if bounded else None,
            baseline=usual.estimate if math.isfinite(usual.estimate) else usual.low,
            wanted="high",
            meaning="How many different images there seem to be, by how soon two are the same"
            + ("." if bounded else "; at least this many, as too few are the same to tell."),
        )
    }


def manifold_readings(space: Space) -> dict[str, Reading]:
    """Real, generated and held-out images thinned to one number: all four depend on it."""
    half = torch.ones(len(space.real), dtype=torch.bool)
    if space.held_out is None:  # half of the training images stand in for them
        half[sample_ids(len(half), len(half) // 2, seed=space.seed, part="prdc/half")] = False
        rest, others = half.nonzero()[:, 0], (~half).nonzero()[:, 0]
        real, stand_in = take(space.real, rest), take(space.real, others)
    else:
        real, stand_in = space.real, space.held_out
    size = min(MOST, len(real), len(stand_in), len(space.generated))

    def thinned(features: Tensor, part: str) -> Tensor:
        return take(features, sample_ids(len(features), size, seed=space.seed, part=f"prdc/{part}"))

    asked = thinned(real, "real")
    value = prdc(asked, thinned(space.generated, "generated"), k=K)
    usual = prdc(asked, thinned(stand_in, "stand-in"), k=K)
    words = {
        "precision": ("high", "Share of generated images within the real images' manifold"),
        "recall": ("high", "Share of real images within the generated images' manifold"),
        "density": ("baseline", "Real balls around a generated image, over their mean number"),
        "coverage": ("high", "Share of real images whose surroundings hold a generated image"),
    }
    return {
        f"prdc/{space.name}/{part}": Reading(
            value=getattr(value, part),
            baseline=getattr(usual, part),
            wanted="high" if wanted == "high" else "baseline",
            meaning=f"{meaning}, {size:,} of each, k = {K}.",
        )
        for part, (wanted, meaning) in words.items()
    }
