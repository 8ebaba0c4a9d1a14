"""The numbers of an audit by name, each with baseline, interval, target and meaning.

A baseline of real images in the generated ones' place stands beside a value only where there are as
many of these. Where there are fewer, the same is measured once more with all sets thinned to one
size, under a name that ends in ``_thinned``.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ganstoch.auditing.evidence import MOST, SpaceEvidence
from ganstoch.auditing.inputs import Images
from ganstoch.auditing.report import Measure, Target, measure_group
from ganstoch.auditing.searches import Space, sample_ids, take
from ganstoch.metrics.authpct import authpct_from
from ganstoch.metrics.cmmd import cmmd
from ganstoch.metrics.copy_score import HALF_AS_FAR
from ganstoch.metrics.features import Inception
from ganstoch.metrics.fid import GaussianStats, frechet_from_stats
from ganstoch.metrics.fld import fld
from ganstoch.metrics.inception_score import Classifying, inception_score
from ganstoch.metrics.kid import kernel_distance
from ganstoch.metrics.l2_memorization import NEIGHBOURS, l2_memorized_from
from ganstoch.metrics.latent_recovery import recover, recovery_gap
from ganstoch.metrics.membership import FALSE_POSITIVES, membership_from
from ganstoch.metrics.memorized_fraction import memorized_from
from ganstoch.metrics.mifid import EPSILON, cosine_distance, penalized
from ganstoch.metrics.mind import mind
from ganstoch.metrics.neighbours import k_nearest, nearest_neighbours
from ganstoch.metrics.overfitting import tail_means
from ganstoch.metrics.prdc import prdc
from ganstoch.metrics.vendi import vendi_score

K = 5  # neighbours that make the radius of a ball, for precision, recall, density and coverage
_NEAR = 0.01
_SPLITS = 10
_RECOVERED = 64
_LOOKED_UP = 1000  # images whose nearest fifty are searched: an interval tells what that is worth
_MODELED = 2000  # images of each set that FLD's time allows
_WIDEST = 4096  # rows or features of a Vendi score, whose time grows with the cube of the fewer
_TAILS = {
    "mean": "the mean",
    "worst10": "the mean of the farthest 10 %",
    "worst5": "the mean of the farthest 5 %",
}
_MEANINGS: dict[Target, dict[str, str]] = {
    "low": {
        "copied": "{made} that are copies of training images, beyond what unseen real images show.",
        "copied_with_edits": "{made} that are copies of training images, mirrored, turned or "
        "shifted by up to 4 pixels or not, beyond what unseen real images show.",
        "classes": "{made} that fall on other classes than unseen real ones do, beyond chance.",
        "clusters": "{made} that fall on other clusters of the data than unseen real ones do, "
        "beyond chance.",
        "fid": "Frechet distance of the features, {sizes}.",
        "memorized_fraction/share": "{made} at less than a third of the distance from the nearest "
        "training image than from the second nearest, l2, {looked_up}.",
        "l2_memorization/percent": "Percentage of generated images less than half as far from the "
        "nearest training image as from the nearest {neighbours} on average, l2, {looked_up}.",
        "fld/value": "How much less likely held-out images are by generated images than by half of "
        "the training images, as densities; {sizes}.",
        "cmmd": "Kernel distance of unit embeddings, biased: above 0 for draws from the data, too; "
        "{sample:,} images.",
        "mind": "Distance of the features' order along random directions; {sample:,} images.",
        "kid": "Kernel distance of the features, unbiased: 0 for draws from the data; {sample:,} "
        "images.",
        "mifid": "FID, divided by the mean cosine distance to the nearest training image where "
        "that is below {epsilon:.3g}: large for copies; {sizes}.",
    },
    "high": {
        "birthday/support": "How many different images there seem to be, by how soon two are the "
        "same{bound}.",
        "prdc/precision": "{made} within the real images' manifold; {sizes}.",
        "prdc/recall": "Share of real images within the generated images' manifold; {sizes}.",
        "prdc/coverage": "Share of real images whose surroundings hold a generated image; {sizes}.",
        "vendi": "How many different images there seem to be, by the cosines of their features, "
        "{varied:,} images; noise is varied, too.",
        "inception_score": "How sure a classifier is of each image and how varied its answers, "
        "{count:,} images in 10 parts; it never looks at the data.",
    },
    "baseline": {
        "overfitting": "Distance of generated images to their nearest training image in {unit}, "
        "{tail}.",
        "mode_drop": "Distance of training images to the nearest of {count} generated images in "
        "{unit}, {tail}.",
        "replication": "{made} as near to a training image as the nearest 1 % of unseen real "
        "images are; blur raises it too.",
        "authpct": "Percentage of generated images that are farther from their nearest training "
        "image than that is from its own nearest; low for copies, high for noise.",
        "train_vs_held_out": "{made} nearer to a training image than to as many held-out ones.",
        "ct/z": "Whether distances to the training set are smaller (below -3: copying) or larger "
        "(above 3) than those of held-out images, in standard errors.",
        "ct/value": "C_T: the same within cells of the data, {cells} counted, averaged.",
        "missed": "Share of training images that have no generated image among the eight nearest "
        "of as many generated and unseen real ones.",
        "far": "{made} that are farther from the data than 99 in 100 unseen real images are.",
        "repeated": "{made} that lie half as far from another generated image as from the data, "
        "or less.",
        "median_ratio": "Median distance of generated images to the training images, over that of "
        "unseen real images.",
        "two_sample_1nn": "{made} nearer to another generated image than to as many training "
        "images.",
        "prdc/density": "Real balls around a generated image, over their mean number; {sizes}.",
        "cosine": "Mean cosine distance of {sample:,} generated images to the nearest training "
        "image.",
        "fld/gap": "How much likelier training images are than held-out ones around generated "
        "images: far below 0 for copies; {sizes}.",
        "membership/auc": "How often a training image lies nearer to its nearest generated image "
        "than a held-out one to its own: 1/2 gives nothing away.",
        "membership/tpr": "Share of training images that the same distance tells, where it takes "
        "{wrong:g} % of held-out images for training images.",
        "recovery/error": "Median squared error at which the generator, its latent sought, shows "
        "training images; the baseline is that of held-out images.",
    },
}
Named = tuple[str, Measure]


def _measure(
    key: str,
    value: float,
    baseline: float | None = None,
    *,
    interval: tuple[float | None, float | None] = (None, None),
    p_value: float | None = None,
    **words: Any,
) -> Named:
    """A measure under its name; ``words`` are put into its meaning."""
    name = key.replace("_thinned", "")
    if name.endswith(tuple(_TAILS)):
        name, part = name.split("/")
        words["tail"] = _TAILS[part]
    target, meaning = next((to, texts[name]) for to, texts in _MEANINGS.items() if name in texts)
    return key, Measure(
        value=value,
        target=target,
        meaning=meaning.format(made="Share of generated images", **words),
        baseline=baseline,
        low=interval[0],
        high=interval[1],
        p_value=p_value,
        group=measure_group(key),
    )


def measures_of(evidence: SpaceEvidence) -> dict[str, Measure]:
    """All numbers of a space, by name; a ValueError for features that a measure refuses."""
    measures = {}
    parts = (_distances, _tests, _memorized, _membership, _manifold)
    for key, measure in chain(*(part(evidence) for part in parts), fidelity(evidence.space)):
        first, *rest = key.split("/")
        measures["/".join([first, evidence.space.name, *rest])] = measure
    return measures


def _distances(evidence: SpaceEvidence) -> Iterator[Named]:
    """Overfitting and mode drop; the second thinned too, averaged over blocks."""
    space, searches, usual = evidence.space, evidence.searches, evidence.searches.reach_real

    def average(blocks: list[Tensor], part: str) -> float:
        return float(sum(getattr(tail_means(each), part) for each in blocks) / len(blocks))

    def tails(
        key: str, blocks: list[Tensor], usual: list[Tensor] | None, count: str = ""
    ) -> Iterator[Named]:
        for part in _TAILS:
            baseline = None if usual is None else average(usual, part)
            value = average(blocks, part)
            yield _measure(f"{key}/{part}", value, baseline, unit=space.unit, count=count)

    everyone = len(searches.from_ids) == len(space.real)
    same = everyone and searches.size == len(space.generated)
    pairs, near = searches.pairs, searches.unseen_distances / space.scale
    yield from tails("overfitting", [pairs.overfitting.neighbours.distances], [near])
    all_of_them, count = [pairs.mode_drop.neighbours.distances], f"all {len(space.generated):,}"
    yield from tails("mode_drop", all_of_them, usual if same else None, count)
    if not same:
        yield from tails("mode_drop_thinned", searches.reach_generated, usual, f"{searches.size:,}")


def _tests(evidence: SpaceEvidence) -> Iterator[Named]:
    searches, copied = evidence.searches, evidence.copied.excess
    near, usual = searches.generated.neighbours, searches.unseen_distances
    limit = usual.sort().values[int(_NEAR * (len(usual) - 1))].item()
    within, held_out = searches.left_out.neighbours.distances, searches.held_out
    ends = copied.low, copied.high
    key = "copied" if evidence.edited is None else "copied_with_edits"
    yield _measure(key, copied.estimate, interval=ends, p_value=copied.p_value)
    shares = ((each <= limit).double().mean().item() for each in (near.distances, usual))
    yield _measure("replication", *shares)
    unseen = authpct_from(held_out.neighbours, within) if held_out else None
    yield _measure("authpct", authpct_from(near, within), unseen)
    if (score := evidence.train_vs_held_out) is not None:
        ends = score.low, score.high
        yield _measure("train_vs_held_out", score.share, 0.5, interval=ends, p_value=score.p_value)
    if (ct := evidence.ct) is not None:
        yield _measure("ct/z", ct.z, 0.0)
        if math.isfinite(ct.value):
            yield _measure("ct/value", ct.value, 0.0, cells=f"{ct.counted} of {ct.cells}")
    coverage, shift, repeats = evidence.coverage, evidence.shift, evidence.repeats
    yield _measure("missed", coverage.rate, coverage.natural, p_value=coverage.p_value)
    for counts in evidence.proportions:
        key = "classes" if counts.by_class else "clusters"
        yield _measure(key, counts.distance, 0.0, p_value=counts.p_value)
    for key, excess in (("far", shift.far), ("repeated", repeats.excess)):
        yield _measure(key, excess.rate, excess.natural, p_value=excess.p_value)
    interval = shift.interval if math.isfinite(shift.interval[1]) else (None, None)
    yield _measure("median_ratio", shift.median_ratio, 1.0, interval=interval)
    yield _measure("two_sample_1nn", repeats.share, repeats.baseline, interval=repeats.interval)
    support, real = evidence.support, evidence.real_support
    bounded = math.isfinite(support.estimate) and math.isfinite(support.high)
    yield _measure(
        "birthday/support",
        support.estimate if bounded else support.low,
        real.estimate if math.isfinite(real.estimate) else real.low,
        interval=(support.low, support.high) if bounded else (None, None),
        bound="" if bounded else "; at least this many, as too few are the same to tell",
    )


def _memorized(evidence: SpaceEvidence) -> Iterator[Named]:
    """Two shares of memorized images, from one search."""
    space, k = evidence.space, min(NEIGHBOURS, len(evidence.space.real))

    def nearest(images: Tensor, part: str) -> Tensor:
        some = space.sample(images, _LOOKED_UP, f"memorized/{part}")
        return k_nearest(some, space.real, k=k, norm="l2").distances

    made, unseen = nearest(space.generated, "generated"), space.held_out
    usual = None if unseen is None else nearest(unseen, "held out")
    words: dict[str, Any] = {"neighbours": k, "looked_up": f"{len(made):,} images"}
    for key, times, share_of in (
        ("memorized_fraction/share", 1, memorized_from),
        ("l2_memorization/percent", 100, l2_memorized_from),
    ):
        share, *ends = (times * x for x in share_of(made)[:3])
        baseline = None if usual is None else times * share_of(usual).share
        yield _measure(key, share, baseline, interval=(ends[0], ends[1]), **words)


def _membership(evidence: SpaceEvidence) -> Iterator[Named]:
    """Whether generated images give training images away; nothing without held-out images."""
    space, searches = evidence.space, evidence.searches
    if space.held_out is None:
        return
    ids = sample_ids(len(space.held_out), MOST, seed=space.seed, part="membership/held out")
    unseen, groups = take(space.held_out, ids), space.held_out_groups
    near = nearest_neighbours(unseen, space.generated, norm=space.norm).distances / space.scale
    trained = searches.pairs.mode_drop.neighbours.distances
    groups = torch.cat([searches.groups, len(trained) + (ids if groups is None else groups[ids])])
    score = membership_from(trained, near, groups=groups, seed=space.seed)
    ends = score.auc_low, score.auc_high
    yield _measure("membership/auc", score.auc, 0.5, interval=ends, p_value=score.p_value)
    usual, ends = FALSE_POSITIVES, (score.tpr_low, score.tpr_high)
    yield _measure("membership/tpr", score.tpr, usual, interval=ends, wrong=100 * usual)


def _manifold(evidence: SpaceEvidence) -> Iterator[Named]:
    space, stand_in = evidence.space, evidence.searches.stand_in

    def compared(key: str, real: Tensor, made: Tensor, usual: Tensor | None) -> Iterator[Named]:
        sizes = f"{len(real):,} real and {len(made):,} generated images, k = {K}"
        with warnings.catch_warnings(action="ignore"):  # repeated images are told by their own rule
            value, baseline = (
                None if rows is None else prdc(real, rows, k=K, norm=space.norm)
                for rows in (made, usual)
            )
        for part in ("precision", "recall", "density", "coverage"):
            of_real = getattr(baseline, part, None)
            yield _measure(f"{key}/{part}", getattr(value, part), of_real, sizes=sizes)

    real = space.sample(space.real, MOST, "prdc/real")
    made = space.sample(space.generated, MOST, "prdc/generated")
    some = take(space.real, evidence.searches.from_ids)
    if len(some) == len(space.real) and min(len(stand_in), MOST) >= len(made):
        usual = space.sample(stand_in, len(made), "prdc/stand-in")
        yield from compared("prdc", real, made, usual)
        return
    size = min(MOST, len(some), len(stand_in), len(space.generated))
    yield from compared("prdc", real, made, None)
    yield from compared(
        "prdc_thinned",
        space.sample(some, size, "prdc/asked"),
        space.sample(space.generated, size, "prdc/some generated"),
        space.sample(stand_in, size, "prdc/stand-in"),
    )


def fidelity(space: Space) -> Iterator[Named]:
    """Measures that are meant for a network's features, by name; nothing for pixels."""
    if space.is_pixels:
        return
    stats = GaussianStats.of(space.real)
    made, held_out = space.generated, space.held_out
    usual = None if held_out is None else space.sample(held_out, len(made), "fidelity/held out")
    epsilon: float | None = EPSILON  # in other spaces half the distance of held-out images
    if not isinstance(space.extractor, Inception):
        epsilon = None
        if usual is not None:
            some = space.sample(usual, MOST, "fidelity/kid/held out")
            epsilon = HALF_AS_FAR * cosine_distance(some, space.real)
    kid_real = space.sample(space.real, MOST, "fidelity/kid/real")
    varied = MOST if made.shape[1] <= _WIDEST else _WIDEST

    def numbers(rows: Tensor, part: str) -> dict[str, float]:
        fid = frechet_from_stats(stats, GaussianStats.of(rows))
        some = space.sample(rows, MOST, f"fidelity/kid/{part}")
        distance = cosine_distance(some, space.real)
        values = {"fid": fid, "kid": kernel_distance(kid_real, some), "cosine": distance}
        values["mind"] = mind(kid_real, some)
        values["vendi"] = vendi_score(some[:varied])
        if space.name.startswith("clip"):
            values["cmmd"] = cmmd(kid_real, some)
        if epsilon is not None:
            values["mifid"] = penalized(fid, distance, epsilon=epsilon)
        if isinstance(space.extractor, Classifying) and len(rows) >= _SPLITS:
            score = inception_score(space.extractor.logits(rows), splits=_SPLITS)
            values["inception_score"] = score.mean
        return values

    def compared(suffix: str, made: Tensor, usual: Tensor | None) -> Iterator[Named]:
        words: dict[str, Any] = {"sizes": f"{len(made):,} images against {len(space.real):,}"}
        words |= {"sample": min(MOST, len(made)), "count": len(made), "epsilon": epsilon}
        words["varied"] = min(varied, len(made))
        baseline = {} if usual is None else numbers(usual, "held out")
        for key, value in numbers(made, "generated").items():
            yield _measure(f"{key}{suffix}", value, baseline.get(key), **words)

    if held_out is None or len(held_out) >= len(made):
        yield from compared("", made, usual)
    else:
        yield from compared("", made, None)
        some = space.sample(made, len(held_out), "fidelity/generated")
        yield from compared("_thinned", some, held_out)
    if held_out is not None and bool((held_out != held_out[0]).any()):
        yield from _likelihoods(space, held_out)


def _likelihoods(space: Space, held_out: Tensor) -> Iterator[Named]:
    made = space.sample(space.generated, _MODELED, "fld/generated")
    real = space.sample(space.real, 2 * _MODELED, "fld/real")
    unseen = space.sample(held_out, _MODELED, "fld/held out")
    score = fld(made, real, unseen, seed=space.seed)
    sizes = f"{len(made):,} generated, {len(real):,} training and {len(unseen):,} held-out images"
    yield _measure("fld/value", score.value, sizes=sizes)
    yield _measure("fld/gap", score.gap, 0.0, sizes=sizes)


@dataclass(frozen=True)
class LatentGenerator:
    """A generator whose latents can be looked for, each image a function of its own latent."""

    generate: Callable[[Tensor], Tensor]  # latents (N, latent_dim) to (N, C, H, W) in [-1, 1]
    latent_dim: int


def latent_recovery(
    generator: LatentGenerator, real: Images, held_out: Images, *, seed: int
) -> Named:
    """Compares recovery errors of a sample of training images and of one of held-out images."""

    def errors(images: Images) -> Tensor:
        ids = sample_ids(len(images), _RECOVERED, seed=seed, part=f"recovery/{images.role}")
        dim, pixels = generator.latent_dim, images.read(ids)
        return recover(generator.generate, pixels, latent_dim=dim, restarts=1, seed=seed).errors

    with torch.enable_grad():
        gap = recovery_gap(errors(real), errors(held_out))
    medians = gap.train_median, gap.held_out_median
    return _measure("recovery/error", *medians, p_value=gap.p_value)
