"""The numbers of an audit by name, each with baseline, interval, target and meaning.

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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ganstoch.auditing.evidence import MOST, SpaceEvidence
from ganstoch.auditing.inputs import Images
from ganstoch.auditing.report import Measure
from ganstoch.auditing.searches import Space, sample_ids, take
from ganstoch.metrics.authpct import authpct_from
from ganstoch.metrics.copies import replication_share
from ganstoch.metrics.copy_score import HALF_AS_FAR
from ganstoch.metrics.features import Inception
from ganstoch.metrics.fid import GaussianStats, frechet_from_stats
from ganstoch.metrics.inception_score import Classifying, inception_score
from ganstoch.metrics.kid import kernel_distance
from ganstoch.metrics.latent_recovery import recover, recovery_gap
from ganstoch.metrics.mifid import EPSILON, cosine_distance, penalized
from ganstoch.metrics.overfitting import tail_means
from ganstoch.metrics.prdc import prdc

K = 5
"""Neighbours that make the radius of a ball, for precision, recall, density and coverage."""

_NEAR = 0.01
_SPLITS = 10
_RECOVERED = 64
_ITERATIONS = 50

Target = Literal["low", "high", "baseline"]
Texts = dict[str, tuple[Target, str]]
"""Target and meaning of measures that are made together, by the last part of their names."""


def measures_of(evidence: SpaceEvidence) -> dict[str, Measure]:
    """All numbers of a space, by name; a ValueError for features that a measure refuses."""
    return {
        **_distances(evidence),
        **_copying(evidence),
        **_missing(evidence),
        **_unlike(evidence),
        **_manifold(evidence),
        **fidelity(evidence.space),
    }


def _distances(evidence: SpaceEvidence) -> dict[str, Measure]:
    """Overfitting and mode drop; the second thinned too, averaged over blocks."""
    space, searches = evidence.space, evidence.searches
    back, usual = "Distance of training images to the nearest of", searches.reach_real
    everyone = len(searches.from_ids) == len(space.real)
    same = everyone and searches.size == len(space.generated)
    measures = _tails(
        f"overfitting/{space.name}",
        f"Distance of generated images to their nearest training image in {space.unit}",
        [searches.pairs.overfitting.neighbours.distances],
        [searches.unseen_distances / space.scale],
    )
    measures |= _tails(
        f"mode_drop/{space.name}",
        f"{back} all {len(space.generated):,} generated images in {space.unit}",
        [searches.pairs.mode_drop.neighbours.distances],
        usual if same else None,
    )
    if not same:
        measures |= _tails(
            f"mode_drop_thinned/{space.name}",
            f"{back} {searches.size:,} generated images in {space.unit}",
            searches.reach_generated,
            usual,
        )
    return measures


def _tails(
    key: str, text: str, blocks: list[Tensor], usual: list[Tensor] | None
) -> dict[str, Measure]:
    """Mean distance and the means of the largest, averaged over blocks."""
    parts = {
        "mean": "the mean",
        "worst10": "the mean of the farthest 10 %",
        "worst5": "the mean of the farthest 5 %",
    }

    def average(distances: list[Tensor]) -> dict[str, float]:
        tails = [tail_means(each) for each in distances]
        return {part: sum(getattr(tail, part) for tail in tails) / len(tails) for part in parts}

    texts: Texts = {part: ("baseline", f"{text}, {words}.") for part, words in parts.items()}
    baseline = None if usual is None else average(usual)
    return _compared(f"{key}/{{}}", texts, average(blocks), baseline)


def _compared(
    key: str, texts: Texts, value: dict[str, float], baseline: dict[str, float] | None
) -> dict[str, Measure]:
    """A measure for each text whose value is known, under the key with its part put in."""
    usual = baseline or {}
    return {
        key.format(part): Measure(
            target=target, meaning=meaning, value=value[part], baseline=usual.get(part)
        )
        for part, (target, meaning) in texts.items()
        if part in value
    }


def _copying(evidence: SpaceEvidence) -> dict[str, Measure]:
    name, searches, copied = evidence.space.name, evidence.searches, evidence.copied.excess
    near, usual = searches.generated.neighbours, searches.unseen_distances
    limit = usual.sort().values[int(_NEAR * (len(usual) - 1))].item()
    within, held_out = searches.left_out.neighbours.distances, searches.held_out
    measures = {
        f"copied/{name}": Measure(
            target="low",
            meaning="Share of generated images that are copies of training images, beyond what "
            "unseen real images show.",
            value=copied.estimate,
            low=copied.low,
            high=copied.high,
            p_value=copied.p_value,
        ),
        f"replication/{name}": Measure(
            target="baseline",
            meaning="Share of generated images as near to a training image as the nearest 1 % "
            "of unseen real images are; blur raises it too.",
            value=replication_share(near.distances, threshold=limit),
            baseline=replication_share(usual, threshold=limit),
        ),
        f"authpct/{name}": Measure(
            target="baseline",
            meaning="Percentage of generated images that are farther from their nearest "
            "training image than that is from its own nearest; low for copies, high for noise.",
            value=authpct_from(near, within).percent,
            baseline=authpct_from(held_out.neighbours, within).percent if held_out else None,
        ),
    }
    if (score := evidence.train_vs_held_out) is not None:
        measures[f"train_vs_held_out/{name}"] = Measure(
            target="baseline",
            meaning="Share of generated images nearer to a training image than to as many "
            "held-out ones.",
            value=score.share,
            baseline=0.5,
            low=score.low,
            high=score.high,
            p_value=score.p_value,
        )
    if (ct := evidence.ct) is not None:
        measures[f"ct/{name}/z"] = Measure(
            target="baseline",
            meaning="Whether distances to the training set are smaller (below -3: copying) or "
            "larger (above 3) than those of held-out images, in standard errors.",
            value=ct.z,
            baseline=0.0,
        )
        if math.isfinite(ct.value):
            cells = f"{sum(cell.counted for cell in ct.cells)} of {len(ct.cells)}"
            measures[f"ct/{name}/value"] = Measure(
                target="baseline",
                meaning=f"C_T: the same within cells of the data, {cells} counted, averaged.",
                value=ct.value,
                baseline=0.0,
            )
    return measures


def _missing(evidence: SpaceEvidence) -> dict[str, Measure]:
    name, coverage = evidence.space.name, evidence.coverage
    measures = {
        f"missed/{name}": Measure(
            target="baseline",
            meaning="Share of training images that have no generated image among the eight "
            "nearest of as many generated and unseen real ones.",
            value=coverage.rate,
            baseline=coverage.natural,
            p_value=coverage.p_value,
        )
    }
    for counts in evidence.proportions:
        cells, kind = (
            ("classes", "classes") if counts.by_class else ("clusters", "clusters of the data")
        )
        measures[f"{cells}/{name}"] = Measure(
            target="low",
            meaning=f"Share of generated images that fall on other {kind} than unseen real ones "
            "do, beyond chance.",
            value=counts.distance,
            baseline=0.0,
            p_value=counts.p_value,
        )
    return measures


def _unlike(evidence: SpaceEvidence) -> dict[str, Measure]:
    name, shift, repeats = evidence.space.name, evidence.shift, evidence.repeats
    support, usual = evidence.support, evidence.real_support
    is_bounded = math.isfinite(support.estimate) and math.isfinite(support.high)
    at_least = "" if is_bounded else "; at least this many, as too few are the same to tell"
    return {
        f"far/{name}": Measure(
            target="baseline",
            meaning="Share of generated images that are farther from the data than 99 in 100 "
            "unseen real images are.",
            value=shift.far.rate,
            baseline=shift.far.natural,
            p_value=shift.far.p_value,
        ),
        f"repeated/{name}": Measure(
            target="baseline",
            meaning="Share of generated images that lie half as far from another generated "
            "image as from the data, or less.",
            value=repeats.excess.rate,
            baseline=repeats.excess.natural,
            p_value=repeats.excess.p_value,
        ),
        f"median_ratio/{name}": Measure(
            target="baseline",
            meaning="Median distance of generated images to the training images, over that of "
            "unseen real images.",
            value=shift.median_ratio,
            baseline=1.0,
            low=shift.low if math.isfinite(shift.high) else None,
            high=shift.high if math.isfinite(shift.high) else None,
        ),
        f"two_sample_1nn/{name}": Measure(
            target="baseline",
            meaning="Share of generated images nearer to another generated image than to as "
            "many training images.",
            value=repeats.share,
            baseline=repeats.baseline,
            low=repeats.low,
            high=repeats.high,
        ),
        f"birthday/{name}/support": Measure(
            target="high",
            meaning="How many different images there seem to be, by how soon two are the "
            f"same{at_least}.",
            value=support.estimate if is_bounded else support.low,
            baseline=usual.estimate if math.isfinite(usual.estimate) else usual.low,
            low=support.low if is_bounded else None,
            high=support.high if is_bounded else None,
        ),
    }


def _manifold(evidence: SpaceEvidence) -> dict[str, Measure]:
    """Precision, recall, density and coverage, by the space's own norm."""
    space, stand_in = evidence.space, evidence.searches.stand_in
    parts: Texts = {
        "precision": ("high", "Share of generated images within the real images' manifold"),
        "recall": ("high", "Share of real images within the generated images' manifold"),
        "density": ("baseline", "Real balls around a generated image, over their mean number"),
        "coverage": ("high", "Share of real images whose surroundings hold a generated image"),
    }

    def compared(key: str, real: Tensor, made: Tensor, usual: Tensor | None) -> dict[str, Measure]:
        sizes = f"{len(real):,} real and {len(made):,} generated images, k = {K}"
        texts: Texts = {part: (to, f"{text}; {sizes}.") for part, (to, text) in parts.items()}
        value, baseline = (
            None if rows is None else prdc(real, rows, k=K, norm=space.norm)._asdict()
            for rows in (made, usual)
        )
        assert value is not None
        return _compared(f"{key}/{space.name}/{{}}", texts, value, baseline)

    real = space.sample(space.real, MOST, "prdc/real")
    made = space.sample(space.generated, MOST, "prdc/generated")
    some = take(space.real, evidence.searches.from_ids)
    if len(some) == len(space.real) and min(len(stand_in), MOST) >= len(made):
        return compared("prdc", real, made, space.sample(stand_in, len(made), "prdc/stand-in"))
    size = min(MOST, len(some), len(stand_in), len(space.generated))
    return compared("prdc", real, made, None) | compared(
        "prdc_thinned",
        space.sample(some, size, "prdc/asked"),
        space.sample(space.generated, size, "prdc/some generated"),
        space.sample(stand_in, size, "prdc/stand-in"),
    )


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
        count = f"{len(made):,} images against {len(space.real):,}"
        texts: Texts = {
            "fid": ("low", f"Frechet distance of the features, {count}."),
            "kid": (
                "low",
                "Kernel distance of the features, unbiased: 0 for draws from the data; "
                f"{min(MOST, len(made)):,} images.",
            ),
            "cosine": (
                "baseline",
                f"Mean cosine distance of generated images to the nearest training image, {count}.",
            ),
            "mifid": (
                "low",
                "FID, divided by the mean cosine distance to the nearest training image where that "
                f"is below {epsilon or 0.0:.3g}: large for copies; {count}.",
            ),
            "inception_score": (
                "high",
                f"How sure a classifier is of each image and how varied its answers, {len(made):,} "
                "images in 10 parts; it never looks at the data.",
            ),
        }
        baseline = None if usual is None else numbers(usual, "held out")
        return _compared(f"{key}/{space.name}", texts, numbers(made, "generated"), baseline)

    if held_out is None or len(held_out) >= len(made):
        return compared("{}", made, usual)
    some = space.sample(made, len(held_out), "fidelity/generated")
    return compared("{}", made, None) | compared("{}_thinned", some, held_out)


@dataclass(frozen=True)
class LatentGenerator:
    """A generator whose latents can be looked for.

    ``generate`` makes images (N, C, H, W) in [-1, 1] of latents, float32, (N, latent_dim),
    differentiably, each image a function of its own latent.
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
            target="baseline",
            meaning="Median squared error at which the generator, its latent sought, shows "
            "training images; the baseline is that of held-out images.",
            value=gap.train_median,
            baseline=gap.held_out_median,
            p_value=gap.p_value,
        )
    }
