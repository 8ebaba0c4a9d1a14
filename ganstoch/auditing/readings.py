"""The numbers of a space as a report has them: value, baseline, interval, meaning.

One name, one quantity: a value is what the metric of that name computes from all images. Most of
them depend on how many images there are; so a baseline of real images in the generated ones' place
stands beside it only where there are as many of these. Where there are fewer, the same is measured
once more with all sets thinned to one size, under a name that ends in ``_thinned``. What is
quadratic in the images is asked of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ganstoch.auditing.distance import DistanceToData
from ganstoch.auditing.missed import Missed
from ganstoch.auditing.proportions import Proportions
from ganstoch.auditing.repeated import Repeated
from ganstoch.auditing.searches import Searches
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.metrics.authpct import authpct_from
from ganstoch.metrics.birthday import Support
from ganstoch.metrics.copies import CopiedShare, replication_share
from ganstoch.metrics.ct_score import CTScore
from ganstoch.metrics.excess import Excess
from ganstoch.metrics.overfitting import TailMeans, tail_means
from ganstoch.metrics.prdc import prdc
from ganstoch.metrics.train_vs_held_out import TrainVsHeldOutScore
from ganstoch.report.audit_report import Reading

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


def _tail(
    key: str, value: TailMeans, baseline: TailMeans | None, *, meaning: str
) -> dict[str, Reading]:
    return {
        f"{key}/{part}": Reading(
            value=getattr(value, part),
            baseline=None if baseline is None else getattr(baseline, part),
            wanted="baseline",
            meaning=f"{meaning}, {words}.",
        )
        for part, words in _PARTS.items()
    }


def distance_readings(space: Space, searches: Searches) -> dict[str, Reading]:
    """Distances both ways; the second thinned too, averaged over blocks."""

    def average(found: tuple[Tensor, ...]) -> TailMeans:
        tails = [tail_means(distances / space.scale) for distances in found]
        return TailMeans(
            mean=sum(t.mean for t in tails) / len(tails),
            worst10=sum(t.worst10 for t in tails) / len(tails),
            worst5=sum(t.worst5 for t in tails) / len(tails),
        )

    back = "Distance of training images to the nearest of"
    made, usual = average(searches.reach_generated), average(searches.reach_real)
    everyone = len(searches.asked) == len(space.real)
    same = everyone and searches.size == len(space.generated)
    readings = _tail(
        f"overfitting/{space.name}",
        tail_means(searches.generated.neighbours.distances / space.scale),
        tail_means(searches.unseen_distances / space.scale),
        meaning=f"Distance of generated images to their nearest training image in {space.unit}",
    ) | _tail(
        f"mode_drop/{space.name}",
        tail_means(searches.to_generated.distances / space.scale),
        usual if same else None,
        meaning=f"{back} all {len(space.generated):,} generated images in {space.unit}",
    )
    if not same:
        readings |= _tail(
            f"mode_drop_thinned/{space.name}",
            made,
            usual,
            meaning=f"{back} {searches.size:,} generated images in {space.unit}",
        )
    return readings


def copy_readings(name: str, searches: Searches, copied: CopiedShare) -> dict[str, Reading]:
    """Copies, and two older measures of them."""
    near, usual = searches.generated.neighbours, searches.unseen_distances
    limit = usual.sort().values[int(_NEAR * (len(usual) - 1))].item()
    within, held_out = searches.left_out.neighbours.distances, searches.held_out
    return {
        f"copied/{name}": Reading(
            value=copied.estimate,
            low=copied.low,
            high=copied.high,
            wanted="low",
            p_value=copied.excess.p_value,
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
            value=authpct_from(near, within).percent,
            baseline=None
            if held_out is None
            else authpct_from(held_out.neighbours, within).percent,
            wanted="baseline",
            meaning="Percentage of generated images that are farther from their nearest training "
            "image than that is from its own nearest; low for copies, high for noise.",
        ),
    }


def against_held_out(
    name: str, nearer: TrainVsHeldOutScore | None, test: CTScore | None
) -> dict[str, Reading]:
    """The tests that need held-out images; nothing without."""
    if nearer is None or test is None:
        return {}
    counted = sum(cell.counted for cell in test.cells)
    found = {
        f"nearer_to_train/{name}": Reading(
            value=nearer.share,
            baseline=0.5,
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


def likeness_readings(
    name: str,
    distance: DistanceToData,
    repeated: Repeated,
    missed: Missed,
    counts: Sequence[Proportions],
) -> dict[str, Reading]:
    """Whether generated images are of the data's kind, and what is missed."""
    cluster = repeated.cluster
    return {
        f"missed/{name}": Reading(
            value=missed.rate,
            baseline=missed.natural,
            wanted="baseline",
            p_value=missed.p_value,
            meaning="Share of training images that have no generated image among the eight nearest "
            "of as many generated and unseen real ones.",
        ),
        **{
            f"{'classes' if each.by_class else 'clusters'}/{name}": Reading(
                value=each.distance,
                baseline=0.0,
                wanted="low",
                p_value=each.p_value,
                meaning=f"Share of generated images that fall on other "
                f"{'classes' if each.by_class else 'clusters of the data'} than unseen real ones "
                "do, beyond chance.",
            )
            for each in counts
        },
        f"far/{name}": _share(
            distance.far,
            "Share of generated images that are farther from the data than 99 in 100 unseen real "
            "images are.",
        ),
        f"repeated/{name}": _share(
            repeated.excess,
            "Share of generated images that lie half as far from another generated image as from "
            "the data, or less.",
        ),
        f"offset/{name}": Reading(
            value=distance.offset,
            baseline=1.0,
            low=distance.low if math.isfinite(distance.high) else None,
            high=distance.high if math.isfinite(distance.high) else None,
            wanted="baseline",
            meaning="Median distance of generated images to the training images, over that of "
            "unseen real images.",
        ),
        f"cluster/{name}": Reading(
            value=cluster.share,
            baseline=cluster.baseline,
            low=cluster.low,
            high=cluster.high,
            wanted="baseline",
            meaning="Share of generated images nearer to another generated image than to as many "
            "training images.",
        ),
    }


def _share(excess: Excess, meaning: str) -> Reading:
    return Reading(
        value=excess.rate,
        baseline=excess.natural,
        p_value=excess.p_value,
        wanted="baseline",
        meaning=meaning,
    )


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


def manifold_readings(space: Space, searches: Searches) -> dict[str, Reading]:
    """Precision, recall, density and coverage, by the space's own norm."""
    real, made = (
        _thinned(space, features, MOST, part)
        for features, part in ((space.real, "real"), (space.generated, "generated"))
    )
    stand_in = searches.stand_in
    asked = take(space.real, searches.asked)
    same = len(asked) == len(space.real) and min(len(stand_in), MOST) >= len(made)
    usual = _thinned(space, stand_in, len(made), "stand-in") if same else None
    readings = _manifold(f"prdc/{space.name}", space, real, made, usual)
    if not same:
        size = min(MOST, len(asked), len(stand_in), len(space.generated))
        sets = [
            _thinned(space, features, size, part)
            for features, part in (
                (asked, "asked"),
                (space.generated, "some generated"),
                (stand_in, "stand-in"),
            )
        ]
        readings |= _manifold(f"prdc_thinned/{space.name}", space, *sets)
    return readings


def _thinned(space: Space, features: Tensor, size: int, part: str) -> Tensor:
    return take(features, sample_ids(len(features), size, seed=space.seed, part=f"prdc/{part}"))


def _manifold(
    key: str, space: Space, real: Tensor, made: Tensor, usual: Tensor | None
) -> dict[str, Reading]:
    value = prdc(real, made, k=K, norm=space.norm)
    baseline = None if usual is None else prdc(real, usual, k=K, norm=space.norm)
    words = {
        "precision": ("high", "Share of generated images within the real images' manifold"),
        "recall": ("high", "Share of real images within the generated images' manifold"),
        "density": ("baseline", "Real balls around a generated image, over their mean number"),
        "coverage": ("high", "Share of real images whose surroundings hold a generated image"),
    }
    sizes = f"{len(real):,} real and {len(made):,} generated images, k = {K}"
    return {
        f"{key}/{part}": Reading(
            value=getattr(value, part),
            baseline=None if baseline is None else getattr(baseline, part),
            wanted="high" if wanted == "high" else "baseline",
            meaning=f"{meaning}; {sizes}.",
        )
        for part, (wanted, meaning) in words.items()
    }
