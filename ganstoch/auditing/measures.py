"""The numbers of an audit by name: one table of value, baseline, interval, target and meaning.

One name, one quantity: a value is what the metric of that name computes from all images. Most of
them depend on how many images there are; so a baseline of real images in the generated ones' place
stands beside it only where there are as many of these. Where there are fewer, the same is measured
once more with all sets thinned to one size, under a name that ends in ``_thinned``. What is
quadratic in the images is measured on a sample.

MiFID charges for memorization where the mean cosine distance to the nearest training image is below
an epsilon, and its authors' 0.1 is for Inception. In another space epsilon is half the distance of
held-out images, and without these MiFID is not reported there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ganstoch.auditing.evidence import MOST, SpaceEvidence
from ganstoch.auditing.inputs import Images
from ganstoch.auditing.report import Measure
from ganstoch.auditing.searches import Space, sample_ids, take
from ganstoch.metrics.authpct import authpct_from
from ganstoch.metrics.copies import replication_share
from ganstoch.metrics.copy_score import HALF_AS_FAR
from ganstoch.metrics.excess import Excess
from ganstoch.metrics.features import Inception
from ganstoch.metrics.fid import GaussianStats, frechet_from_stats
from ganstoch.metrics.inception_score import Classifying, inception_score
from ganstoch.metrics.kid import kernel_distance
from ganstoch.metrics.latent_recovery import recover, recovery_gap
from ganstoch.metrics.mifid import EPSILON, cosine_distance, penalized
from ganstoch.metrics.overfitting import TailMeans, tail_means
from ganstoch.metrics.prdc import prdc

__all__ = ["K", "LatentGenerator", "fidelity", "latent_recovery", "measures_of"]

K = 5
"""Neighbours that make the radius of a ball, for precision, recall, density and coverage."""

_NEAR = 0.01
_SPLITS = 10
_RECOVERED = 64
_ITERATIONS = 50

Target = Literal["low", "high", "baseline"]
Texts = Mapping[str, tuple[Target, str]]
Numbers = dict[str, Any]
"""Fields of a `Measure`: value, baseline, low, high, p_value."""


def _copied(e: SpaceEvidence) -> Numbers:
    share = e.copied.excess
    return {
        "value": share.estimate,
        "low": share.low,
        "high": share.high,
        "p_value": share.p_value,
    }


def _replication(e: SpaceEvidence) -> Numbers:
    near, usual = e.searches.generated.neighbours.distances, e.searches.unseen_distances
    limit = usual.sort().values[int(_NEAR * (len(usual) - 1))].item()
    value, baseline = (replication_share(each, threshold=limit) for each in (near, usual))
    return {"value": value, "baseline": baseline}


def _authpct(e: SpaceEvidence) -> Numbers:
    searches, within = e.searches, e.searches.left_out.neighbours.distances
    sides = (searches.generated, searches.held_out)
    value, baseline = (side and authpct_from(side.neighbours, within).percent for side in sides)
    return {"value": value, "baseline": baseline}


def _train_vs_held_out(e: SpaceEvidence) -> Numbers | None:
    s = e.train_vs_held_out
    if s is None:
        return None
    return {"value": s.share, "baseline": 0.5, "low": s.low, "high": s.high, "p_value": s.p_value}


def _ct_value(e: SpaceEvidence) -> Numbers | None:
    if e.ct is None or not math.isfinite(e.ct.value):
        return None
    return {"value": e.ct.value, "baseline": 0.0}


def _missed(e: SpaceEvidence) -> Numbers:
    c = e.coverage
    return {"value": c.rate, "baseline": c.natural, "p_value": c.p_value}


def _shifted(e: SpaceEvidence, *, by_class: bool) -> Numbers | None:
    for counts in e.proportions:
        if counts.by_class is by_class:
            return {"value": counts.distance, "baseline": 0.0, "p_value": counts.p_value}
    return None


def _flagged(excess: Excess) -> Numbers:
    return {"value": excess.rate, "baseline": excess.natural, "p_value": excess.p_value}


def _median_ratio(e: SpaceEvidence) -> Numbers:
    bounded = math.isfinite(e.shift.high)
    interval = {"low": e.shift.low, "high": e.shift.high} if bounded else {}
    return {"value": e.shift.median_ratio, "baseline": 1.0, **interval}


def _two_sample(e: SpaceEvidence) -> Numbers:
    t = e.repeats.two_sample
    return {"value": t.share, "baseline": t.baseline, "low": t.low, "high": t.high}


def _is_bounded(e: SpaceEvidence) -> bool:
    return math.isfinite(e.support.estimate) and math.isfinite(e.support.high)


def _support_size(e: SpaceEvidence) -> Numbers:
    size, usual = e.support, e.real_support
    baseline = usual.estimate if math.isfinite(usual.estimate) else usual.low
    if not _is_bounded(e):
        return {"value": size.low, "baseline": baseline}
    return {"value": size.estimate, "baseline": baseline, "low": size.low, "high": size.high}


_TABLE: Mapping[str, tuple[Callable[[SpaceEvidence], Numbers | None], Target, str]] = {
    "copied/{space}": (
        _copied,
        "low",
        "Share of generated images that are copies of training images, beyond what unseen real "
        "images show.",
    ),
    "replication/{space}": (
        _replication,
        "baseline",
        "Share of generated images as near to a training image as the nearest 1 % of unseen real "
        "images are; blur raises it too.",
    ),
    "authpct/{space}": (
        _authpct,
        "baseline",
        "Percentage of generated images that are farther from their nearest training image than "
        "that is from its own nearest; low for copies, high for noise.",
    ),
    "nearer_to_train/{space}": (
        _train_vs_held_out,
        "baseline",
        "Share of generated images nearer to a training image than to as many held-out ones.",
    ),
    "ct/{space}/z": (
        lambda e: None if e.ct is None else {"value": e.ct.z, "baseline": 0.0},
        "baseline",
        "Whether distances to the training set are smaller (below -3: copying) or larger (above 3) "
        "than those of held-out images, in standard errors.",
    ),
    "ct/{space}/value": (
        _ct_value,
        "baseline",
        "C_T: the same within cells of the data, {cells} counted, averaged.",
    ),
    "missed/{space}": (
        _missed,
        "baseline",
        "Share of training images that have no generated image among the eight nearest of as many "
        "generated and unseen real ones.",
    ),
    "clusters/{space}": (
        lambda e: _shifted(e, by_class=False),
        "low",
        "Share of generated images that fall on other clusters of the data than unseen real ones "
        "do, beyond chance.",
    ),
    "classes/{space}": (
        lambda e: _shifted(e, by_class=True),
        "low",
        "Share of generated images that fall on other classes than unseen real ones do, beyond "
        "chance.",
    ),
    "far/{space}": (
        lambda e: _flagged(e.shift.far),
        "baseline",
        "Share of generated images that are farther from the data than 99 in 100 unseen real "
        "images are.",
    ),
    "repeated/{space}": (
        lambda e: _flagged(e.repeats.excess),
        "baseline",
        "Share of generated images that lie half as far from another generated image as from the "
        "data, or less.",
    ),
    "median_ratio/{space}": (
        _median_ratio,
        "baseline",
        "Median distance of generated images to the training images, over that of unseen real "
        "images.",
    ),
    "two_sample_1nn/{space}": (
        _two_sample,
        "baseline",
        "Share of generated images nearer to another generated image than to as many training "
        "images.",
    ),
    "birthday/{space}/support": (
        _support_size,
        "high",
        "How many different images there seem to be, by how soon two are the same{at_least}.",
    ),
}

_TAILS = {
    "mean": "the mean",
    "worst10": "the mean of the farthest 10 %",
    "worst5": "the mean of the farthest 5 %",
}

_PRDC: Texts = {
    "precision": ("high", "Share of generated images within the real images' manifold"),
    "recall": ("high", "Share of real images within the generated images' manifold"),
    "density": ("baseline", "Real balls around a generated image, over their mean number"),
    "coverage": ("high", "Share of real images whose surroundings hold a generated image"),
}

_FIDELITY: Texts = {
    "fid": ("low", "Frechet distance of the features, {count}."),
    "kid": (
        "low",
        "Kernel distance of the features, unbiased: 0 for draws from the data; {kid:,} images.",
    ),
    "cosine": (
        "baseline",
        "Mean cosine distance of generated images to the nearest training image, {count}.",
    ),
    "mifid": (
        "low",
        "FID, divided by the mean cosine distance to the nearest training image where that is "
        "below {epsilon:.3g}: large for copies; {count}.",
    ),
    "inception_score": (
        "high",
        "How sure a classifier is of each image and how varied its answers, {made:,} images in 10 "
        "parts; it never looks at the data.",
    ),
}


def measures_of(evidence: SpaceEvidence) -> dict[str, Measure]:
    """All numbers of a space, by name; a ValueError for features that a measure refuses."""
    ct, space = evidence.ct, evidence.space
    words = {
        "space": space.name,
        "cells": f"{sum(cell.counted for cell in ct.cells)} of {len(ct.cells)}" if ct else "",
        "at_least": (
            "" if _is_bounded(evidence) else "; at least this many, as too few are the same to tell"
        ),
    }
    return {
        **_distances(evidence),
        **{
            key.format_map(words): Measure(
                target=target, meaning=meaning.format_map(words), **numbers
            )
            for key, (function, target, meaning) in _TABLE.items()
            if (numbers := function(evidence)) is not None
        },
        **_manifold(evidence),
        **fidelity(space),
    }


def _distances(evidence: SpaceEvidence) -> dict[str, Measure]:
    """Overfitting and mode drop; the second thinned too, averaged over blocks."""
    space, searches = evidence.space, evidence.searches
    name, unit, pairs = space.name, space.unit, searches.pairs

    def average(blocks: tuple[Tensor, ...]) -> TailMeans:
        tails = [_fields(tail_means(distances), _TAILS) for distances in blocks]
        return TailMeans(**{part: sum(t[part] for t in tails) / len(tails) for part in _TAILS})

    def tails(key: str, text: str, value: TailMeans, baseline: TailMeans | None) -> None:
        texts: Texts = {
            part: ("baseline", f"{text} in {unit}, {words}.") for part, words in _TAILS.items()
        }
        numbers = None if baseline is None else _fields(baseline, _TAILS)
        measures.update(_compared(key + "/{}", texts, _fields(value, _TAILS), numbers))

    measures: dict[str, Measure] = {}
    back = "Distance of training images to the nearest of"
    usual = average(searches.reach_real)
    everyone = len(searches.from_ids) == len(space.real)
    same = everyone and searches.size == len(space.generated)
    tails(
        f"overfitting/{name}",
        "Distance of generated images to their nearest training image",
        pairs.overfitting.tail,
        tail_means(searches.unseen_distances / space.scale),
    )
    tails(
        f"mode_drop/{name}",
        f"{back} all {len(space.generated):,} generated images",
        pairs.mode_drop.tail,
        usual if same else None,
    )
    if not same:
        tails(
            f"mode_drop_thinned/{name}",
            f"{back} {searches.size:,} generated images",
            average(searches.reach_generated),
            usual,
        )
    return measures


def _compared(
    key: str, texts: Texts, value: Mapping[str, float], baseline: Mapping[str, float] | None
) -> dict[str, Measure]:
    """A measure for each text whose value is known, under the key with its part put in."""
    return {
        key.format(part): Measure(
            value=value[part],
            baseline=None if baseline is None else baseline.get(part),
            target=target,
            meaning=meaning,
        )
        for part, (target, meaning) in texts.items()
        if part in value
    }


def _fields(scores: object, names: Iterable[str]) -> dict[str, float]:
    return {name: getattr(scores, name) for name in names}


def _manifold(evidence: SpaceEvidence) -> dict[str, Measure]:
    """Precision, recall, density and coverage, by the space's own norm."""
    space, stand_in = evidence.space, evidence.searches.stand_in

    def compared(key: str, real: Tensor, made: Tensor, usual: Tensor | None) -> dict[str, Measure]:
        sizes = f"{len(real):,} real and {len(made):,} generated images, k = {K}"
        return _compared(
            f"{key}/{space.name}/{{}}",
            {part: (target, f"{text}; {sizes}.") for part, (target, text) in _PRDC.items()},
            _fields(prdc(real, made, k=K, norm=space.norm), _PRDC),
            None if usual is None else _fields(prdc(real, usual, k=K, norm=space.norm), _PRDC),
        )

    real = space.sample(space.real, MOST, "prdc/real")
    made = space.sample(space.generated, MOST, "prdc/generated")
    some = take(space.real, evidence.searches.from_ids)
    same = len(some) == len(space.real) and min(len(stand_in), MOST) >= len(made)
    usual = space.sample(stand_in, len(made), "prdc/stand-in") if same else None
    measures = compared("prdc", real, made, usual)
    if not same:
        size = min(MOST, len(some), len(stand_in), len(space.generated))
        measures |= compared(
            "prdc_thinned",
            space.sample(some, size, "prdc/asked"),
            space.sample(space.generated, size, "prdc/some generated"),
            space.sample(stand_in, size, "prdc/stand-in"),
        )
    return measures


def fidelity(space: Space) -> dict[str, Measure]:
    """Measures that are meant for a network's features, by name; nothing for pixels."""
    if space.is_pixels:
        return {}
    stats = GaussianStats.of(space.real)
    made, held_out = space.generated, space.held_out
    usual = None if held_out is None else space.sample(held_out, len(made), "fidelity/held out")
    epsilon: float | None = EPSILON
    if not isinstance(space.extractor, Inception):
        epsilon = None if usual is None else HALF_AS_FAR * cosine_distance(usual, space.real)
    kid_real = space.sample(space.real, MOST, "fidelity/kid/real")

    def numbers(rows: Tensor, part: str) -> dict[str, float]:
        fid = frechet_from_stats(stats, GaussianStats.of(rows))
        distance = cosine_distance(rows, space.real)
        kid_rows = space.sample(rows, MOST, f"fidelity/kid/{part}")
        values = {"fid": fid, "kid": kernel_distance(kid_real, kid_rows), "cosine": distance}
        if epsilon is not None:
            values["mifid"] = penalized(fid, distance, epsilon=epsilon)
        if isinstance(space.extractor, Classifying) and len(rows) >= _SPLITS:
            score = inception_score(space.extractor.logits(rows), splits=_SPLITS)
            values["inception_score"] = score.mean
        return values

    def compared(key: str, made: Tensor, usual: Tensor | None) -> dict[str, Measure]:
        words = {
            "made": len(made),
            "count": f"{len(made):,} images against {len(space.real):,}",
            "kid": min(MOST, len(made)),
            "epsilon": epsilon or 0.0,
        }
        return _compared(
            f"{key}/{space.name}",
            {part: (target, text.format_map(words)) for part, (target, text) in _FIDELITY.items()},
            numbers(made, "generated"),
            None if usual is None else numbers(usual, "held out"),
        )

    enough = held_out is not None and len(held_out) >= len(made)
    measures = compared("{}", made, usual if enough else None)
    if held_out is not None and not enough:
        some = space.sample(made, len(held_out), "fidelity/generated")
        measures |= compared("{}_thinned", some, held_out)
    return measures


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentGenerator:
    """A generator whose latents can be looked for.

    Attributes:
        generate: from latents, float32, shape (N, latent_dim), to images in [-1, 1], shape
            (N, C, H, W), differentiable, each image a function of its own latent.
        latent_dim: length of a latent.
    """

    generate: Callable[[Tensor], Tensor]
    latent_dim: int


def latent_recovery(
    generator: LatentGenerator, real: Images, held_out: Images, *, seed: int
) -> dict[str, Measure]:
    """Compares recovery errors of a sample of training images and of one of held-out images."""

    def errors(images: Images) -> Tensor:
        ids = sample_ids(len(images), _RECOVERED, seed=seed, part=f"recovery/{images.role}")
        return recover(
            generator.generate,
            images.read(ids),
            latent_dim=generator.latent_dim,
            iterations=_ITERATIONS,
            restarts=1,
            seed=seed,
        ).errors

    with torch.enable_grad():
        gap = recovery_gap(errors(real), errors(held_out))
    return {
        "recovery/error": Measure(
            value=gap.train_median,
            baseline=gap.held_out_median,
            p_value=gap.p_value,
            target="baseline",
            meaning="Median squared error at which the generator, its latent sought, shows "
            "training images; the baseline is that of held-out images.",
        ),
    }
