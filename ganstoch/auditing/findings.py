"""From facts and measures to findings, by stated rules, gravest first.

Null of every rule: generated and unseen real images are draws from one source, repeats and
near-duplicates and all. Each rule is a test at `LEVEL`, shared among the feature spaces; together
they stay well below 5 %, which `python -m ganstoch.bench.calibration` shows for many kinds of
images. Shares are counted, so that a bad part of a set is found however good the rest is.

memorization        generated images equal training images that do not repeat, more than the data's
                    own repeats explain (`IDENTICAL_LEVEL`, permuted labels); or more of them than
                    of unseen real images lie half as far from one training image as from the others
                    (Fisher)
mode_collapse       generated images repeat each other more than the data do (permuted labels); or
                    more of them than of real ones lie half as far from each other as from the data
                    (Fisher); or the birthday test sees about ten images, or one for a hundred
                    training images, and a tenth of those that real ones show
mode_drop           generated images fall on other classes or clusters than unseen real ones do
                    (permuted labels), by 2 % of the images at least; or more training images have
                    none of them among their nearest than chance allows (permuted labels)
distribution_shift  more generated than real images are of one colour, or darker, flatter, rougher
                    than nearly all real ones, or farther from the data than nearly all unseen ones
                    (Fisher); or all lie 1.2 times as far, or nearer to each other than to the data
                    by 0.1 more than modes left out explain (99.9 % intervals)

What no rule finds is `verdict`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ganstoch.auditing.evidence import Evidence, SpaceEvidence
from ganstoch.auditing.facts import IDENTICAL_LEVEL
from ganstoch.auditing.proportions import Cell, Proportions
from ganstoch.auditing.report import Verdict
from ganstoch.auditing.words import decimals, fixed, percent, percent_range
from ganstoch.metrics.excess import Excess

__all__ = ["LEVEL", "Finding", "find", "level_of", "missed_modes", "short_cells", "times"]

ORDER: tuple[Verdict, ...] = ("memorization", "mode_collapse", "mode_drop", "distribution_shift")

LEVEL = 0.002
"""Of audits in which nothing is wrong, the share in which one rule may say otherwise."""

FARTHER = 1.2
"""Leaving out the easy half of the handwritten digits raises the distance to them by a tenth."""

APART = 0.10
"""Share that lies nearer to its own kind for no other reason; in random splits of a few hundred
images it wavers by less."""

SHIFT = 0.02
"""Images that fall on other classes: less is seen in any large set, and harms nobody."""

MISSED = 0.02

MOST_OF_THEM = 0.5

FEW = 10
"""Different images that are few for any data set."""

PER_REAL = 100
"""Training images for each different generated one, from which on a generator has collapsed."""

FEWER = 10
"""Times that real images show more different images than a generator that has collapsed."""

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule that holds.

    Attributes:
        verdict: which.
        sentence: for a person, with its numbers.
        share: of the images that it speaks of, at least, in [0, 1].
        space: the space it was found in; None for what is the same in all.
    """

    verdict: Verdict
    sentence: str
    share: float
    space: SpaceEvidence | None = None


def level_of(evidence: Evidence) -> float:
    """Of one rule in one space."""
    return LEVEL / len(evidence.spaces)


def find(evidence: Evidence) -> tuple[Finding, ...]:
    """All rules that hold, gravest verdict first.

    Of one verdict a rule is passed over that speaks of no more images than one before it.
    """
    # Blurred or foreign images lie nearer to each other than to the data, and repeat none.
    alike = [] if evidence.looks.excess.low > MOST_OF_THEM else [_of_few, _nearly_repeated]
    rules: list[Finding | None] = [
        _identical(evidence),
        _in_spaces(evidence, _copies),
        _in_spaces(evidence, _few_different),
        _repeats(evidence),
        *(_in_spaces(evidence, rule) for rule in alike),
        *(_in_spaces(evidence, rule) for rule in (_classes, _clusters, missed_modes)),
        _one_colour(evidence),
        _odd_looks(evidence),
        *(_in_spaces(evidence, rule) for rule in (_far, _farther, _apart)),
    ]
    findings: list[Finding] = []
    for kind in ORDER:
        told = 0.0
        for finding in rules:
            if finding is None or finding.verdict != kind:
                continue
            if finding.share > told or kind == "mode_drop":
                findings.append(finding)
                told = max(told, finding.share)
    return tuple(findings)


def _in_spaces(
    evidence: Evidence, rule: Callable[[SpaceEvidence, float], Finding | None]
) -> Finding | None:
    """A rule in the space where it speaks of most images."""
    level = level_of(evidence)
    findings = [f for s in evidence.spaces if (f := rule(s, level)) is not None]
    return max(findings, key=lambda finding: finding.share, default=None)


def _identical(evidence: Evidence) -> Finding | None:
    facts, made = evidence.facts.generated, evidence.facts.sets["generated"].images
    count = len(facts.identical)
    if count == 0 or facts.identical_p > IDENTICAL_LEVEL:
        return None
    return Finding(
        verdict="memorization",
        sentence=f"{count:,} of the {made:,} generated images ({percent(count / made)}) are, pixel "
        f"for pixel, training images that do not repeat in the training set.",
        share=count / made,
    )


def _copies(space: SpaceEvidence, level: float) -> Finding | None:
    return _share(
        "memorization",
        space.copied.excess,
        level,
        "{share} of the generated images are seen to be copies of training images ({interval}); "
        "copies that were mirrored, shifted or cropped may be more.",
        space,
    )


def _nearly_repeated(space: SpaceEvidence, level: float) -> Finding | None:
    return _share(
        "mode_collapse",
        space.repeats.excess,
        level,
        "{share} of the generated images are nearly another generated one ({interval}).",
        space,
    )


def _one_colour(evidence: Evidence) -> Finding | None:
    excess = evidence.facts.one_colour
    return _share(
        "distribution_shift",
        excess,
        LEVEL / 2,
        f"{excess.count:,} generated images are of one single colour, {{share}} of them beyond "
        f"what real images show ({{interval}}); of these {percent(excess.natural)} are.",
    )


def _odd_looks(evidence: Evidence) -> Finding | None:
    return _share(
        "distribution_shift",
        evidence.looks.excess,
        LEVEL / 2,
        "{share} of the generated images look like no real one ({interval}), most of them "
        f"{evidence.looks.words} than nearly all real images.",
    )


def _far(space: SpaceEvidence, level: float) -> Finding | None:
    return _share(
        "distribution_shift",
        space.shift.far,
        level,
        "{share} of the generated images are farther from the data than real ones come to be "
        "({interval}).",
        space,
    )


def _share(
    verdict: Verdict,
    excess: Excess,
    level: float,
    sentence: str,
    space: SpaceEvidence | None = None,
) -> Finding | None:
    """The rule of every share: more generated than unseen real images are flagged.

    Args:
        verdict: that it leads to.
        excess: the counts.
        level: of the test.
        sentence: with places for ``{share}`` and ``{interval}``.
        space: that it was counted in, if any.
    """
    if excess.low <= 0 or excess.p_value > level:
        return None
    by = "" if space is None else f", by {space.space.words}"
    interval = f"95 % interval {percent_range(excess.low, excess.high)}{by}"
    return Finding(
        verdict=verdict,
        sentence=sentence.format(share=percent(excess.estimate), interval=interval),
        share=excess.low,
        space=space,
    )


def _few_different(space: SpaceEvidence, level: float) -> Finding | None:
    size, usual = space.support, space.real_support
    few = max(FEW, len(space.space.real) / PER_REAL)
    if size.estimate > few or size.high > 2 * few or usual.low < FEWER * size.high:
        return None
    return _variations(space)


def _of_few(space: SpaceEvidence, level: float) -> Finding | None:
    """More than a few, where nearly all repeat each other."""
    size, usual = space.support, space.real_support
    many = len(space.space.generated) / FEWER
    most = space.repeats.excess.low > MOST_OF_THEM
    if not most or size.high > many or usual.low < FEWER * size.high:
        return None
    return _variations(space)


def _variations(space: SpaceEvidence) -> Finding:
    size, usual = space.support, space.real_support
    about = max(1, round(size.estimate))
    what = "one and the same image" if about == 1 else f"about {about:,} different images"
    return Finding(
        verdict="mode_collapse",
        sentence=f"The generated images are variations of {what}, where real images show at least "
        f"{usual.low:,.0f} (by {space.space.words}).",
        share=1.0,
        space=space,
    )


def _repeats(evidence: Evidence) -> Finding | None:
    facts, sets = evidence.facts.generated, evidence.facts.sets
    count, made, real = len(facts.repeated), sets["generated"], sets["real"]
    if count == 0 or facts.repeated_p > LEVEL:
        return None
    return Finding(
        verdict="mode_collapse",
        sentence=f"{percent(count / made.images)} of the generated images repeat another one pixel "
        f"for pixel: {made.images:,} images, {made.different:,} different; of {real.images:,} "
        f"training images {real.different:,} are different.",
        share=count / made.images,
    )


def _classes(space: SpaceEvidence, level: float) -> Finding | None:
    return _shifted(space, level, by_class=True)


def _clusters(space: SpaceEvidence, level: float) -> Finding | None:
    if _classes(space, level) is not None:
        return None  # says it better
    return _shifted(space, level, by_class=False)


def _shifted(space: SpaceEvidence, level: float, *, by_class: bool) -> Finding | None:
    for counts in space.proportions:
        if counts.by_class is not by_class or not _is_shifted(counts, space, level):
            continue
        cells = short_cells(counts, level) or sorted(counts.cells, key=_deficit)[:1]
        named = ", ".join(
            f"{cell.name} ({percent(cell.generated)} for {percent(cell.real)})"
            for cell in cells[:_NAMED]
        )
        more = f" and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
        kind = "classes" if by_class else "clusters of the data"
        return Finding(
            verdict="mode_drop",
            sentence=f"Generated images fall on other {kind} than unseen real images do "
            f"(p = {counts.p_value:.2g}, by {space.space.words}); too few are {named}{more}.",
            share=counts.distance,
            space=space,
        )
    return None


def _is_shifted(counts: Proportions, space: SpaceEvidence, level: float) -> bool:
    return counts.p_value <= level / len(space.proportions) and counts.distance >= SHIFT


def short_cells(counts: Proportions, level: float) -> list[Cell]:
    """Cells with too few generated images by themselves, the emptiest first."""
    short = [cell for cell in counts.cells if cell.short <= level / len(counts.cells)]
    return sorted(short, key=_deficit)


def _deficit(cell: Cell) -> float:
    return cell.generated / cell.real if cell.real else 1.0


def missed_modes(space: SpaceEvidence, level: float) -> Finding | None:
    """Training images that have no generated one among their nearest."""
    missed = space.coverage
    share = missed.missed
    if missed.p_value > level or share.estimate < MISSED:
        return None
    classes = sorted(missed.classes.items(), key=lambda item: -item[1])
    most = ", ".join(f"{name} ({percent(lost)})" for name, lost in classes[:_NAMED] if lost > 0.1)
    return Finding(
        verdict="mode_drop",
        sentence=f"{percent(share.estimate)} of the training images are missed (95 % interval "
        f"{percent_range(share.low, share.high)}, by {space.space.words})"
        + (f", most of all of {most}." if most else "."),
        share=share.estimate,
        space=space,
    )


def _farther(space: SpaceEvidence, level: float) -> Finding | None:
    if space.shift.sure_low <= FARTHER:
        return None
    return Finding(
        verdict="distribution_shift",
        sentence=f"Generated images lie {times(space.shift.median_ratio)} times as far from the "
        f"training images as unseen real images do (by {space.space.words}).",
        share=1.0,
        space=space,
    )


def _apart(space: SpaceEvidence, level: float) -> Finding | None:
    two_sample = space.repeats.two_sample
    # A generator that leaves out a share m puts as many images into the rest: 1 / (2 - m).
    left_out = max([space.coverage.missed.high, *(2 * c.distance for c in space.proportions)])
    explained = max(two_sample.baseline, 1 / (2 - min(1.0, left_out)))
    if two_sample.sure <= explained + APART:
        return None
    return Finding(
        verdict="distribution_shift",
        sentence=f"{percent(two_sample.share)} of the generated images lie nearer to other "
        f"generated images than to the data, where real images do in "
        f"{percent(two_sample.baseline)}: they can be told apart from the data "
        f"(by {space.space.words}).",
        share=two_sample.share,
        space=space,
    )


def times(ratio: float) -> str:
    """A ratio for a sentence: ``1.69``, ``140``."""
    return fixed(ratio, decimals([ratio])) if ratio < 10 else f"{ratio:,.0f}"
