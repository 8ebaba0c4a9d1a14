"""From facts and measures to findings, by stated rules, gravest first.

Null of every rule: generated and unseen real images are draws from one source, repeats and
near-duplicates and all. Each rule is a test at `LEVEL`, shared among the feature spaces; together
they stay well below 5 %, which `python -m ganstoch.bench.calibration` shows for many kinds of
images. Shares are counted, so that a bad part of a set is found however good the rest is.

copies           generated images equal training images that do not repeat, more than the data's
                 own repeats explain (`IDENTICAL_LEVEL`, permuted labels); or more of them than of
                 unseen real images lie half as far from one training image as from the others
                 (Fisher)
collapsed        generated images repeat each other more than the data do (permuted labels); or more
                 of them than of real ones lie half as far from each other as from the data
                 (Fisher); or the birthday test sees about ten images, or one for a hundred
                 training images, and a tenth of those that real ones show
drops_modes      generated images fall on other classes or clusters than unseen real ones do
                 (permuted labels), by 2 % of the images at least; or more training images have
                 none of them among their nearest than chance allows (permuted labels)
unlike_the_data  more generated than real images are of one colour, or darker, flatter, rougher ...
                 than nearly all real ones, or farther from the data than nearly all unseen ones
                 (Fisher); or all lie 1.2 times as far, or nearer to each other than to the data by
                 0.1 more than modes left out explain (99.9 % intervals)

What no rule finds is `verdict`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.facts import IDENTICAL_LEVEL
from ganstoch.auditing.measure import Measured
from ganstoch.auditing.proportions import Cell, Proportions
from ganstoch.metrics.excess import Excess
from ganstoch.report.audit_report import Verdict
from ganstoch.report.page_words import decimals, fixed, percent, percent_range

__all__ = [
    "LEVEL",
    "Finding",
    "find",
    "level_of",
    "missed_modes",
    "short_cells",
    "space_words",
    "times",
]

ORDER: tuple[Verdict, ...] = ("copies", "collapsed", "drops_modes", "unlike_the_data")

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
        measured: the space it was found in; None for what is the same in all.
    """

    verdict: Verdict
    sentence: str
    share: float
    measured: Measured | None


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
        *(_in_spaces(evidence, rule) for rule in (_far, _offset, _apart)),
    ]
    held = [finding for finding in rules if finding is not None]
    found = []
    for kind, several in groupby(
        sorted(held, key=lambda f: ORDER.index(f.verdict)), key=lambda f: f.verdict
    ):
        told = 0.0
        for finding in several:
            if finding.share > told or kind == "drops_modes":
                found.append(finding)
                told = max(told, finding.share)
    return tuple(found)


def _in_spaces(
    evidence: Evidence, rule: Callable[[Measured, float], Finding | None]
) -> Finding | None:
    """A rule in the space where it speaks of most images."""
    level = level_of(evidence)
    held = [f for m in evidence.spaces if (f := rule(m, level)) is not None]
    return max(held, key=lambda finding: finding.share, default=None)


def _identical(evidence: Evidence) -> Finding | None:
    facts, made = evidence.facts.generated, evidence.facts.sets["generated"].images
    count = len(facts.identical)
    if count == 0 or facts.identical_p > IDENTICAL_LEVEL:
        return None
    return Finding(
        verdict="copies",
        sentence=f"{count:,} of the {made:,} generated images ({percent(count / made)}) are, pixel "
        f"for pixel, training images that do not repeat in the training set.",
        share=count / made,
        measured=None,
    )


def _copies(measured: Measured, level: float) -> Finding | None:
    return _share(
        "copies",
        measured.copied.excess,
        level,
        "{share} of the generated images are seen to be copies of training images ({interval}); "
        "copies that were mirrored, shifted or cropped may be more.",
        measured,
    )


def _nearly_repeated(measured: Measured, level: float) -> Finding | None:
    return _share(
        "collapsed",
        measured.repeated.excess,
        level,
        "{share} of the generated images are nearly another generated one ({interval}).",
        measured,
    )


def _one_colour(evidence: Evidence) -> Finding | None:
    excess = evidence.facts.one_colour
    return _share(
        "unlike_the_data",
        excess,
        LEVEL / 2,
        f"{excess.count:,} generated images are of one single colour, {{share}} of them beyond "
        f"what real images show ({{interval}}); of these {percent(excess.natural)} are.",
    )


def _odd_looks(evidence: Evidence) -> Finding | None:
    return _share(
        "unlike_the_data",
        evidence.looks.excess,
        LEVEL / 2,
        "{share} of the generated images look like no real one ({interval}), most of them "
        f"{evidence.looks.words} than nearly all real images.",
    )


def _far(measured: Measured, level: float) -> Finding | None:
    return _share(
        "unlike_the_data",
        measured.distance.far,
        level,
        "{share} of the generated images are farther from the data than real ones come to be "
        "({interval}).",
        measured,
    )


def _share(
    verdict: Verdict,
    excess: Excess,
    level: float,
    sentence: str,
    measured: Measured | None = None,
) -> Finding | None:
    """The rule of every share: more generated than unseen real images are flagged.

    Args:
        verdict: that it leads to.
        excess: the counts.
        level: of the test.
        sentence: with places for ``{share}`` and ``{interval}``.
        measured: the space, if it was counted in one.
    """
    if excess.low <= 0 or excess.p_value > level:
        return None
    by = "" if measured is None else f", by {space_words(measured)}"
    interval = f"95 % interval {percent_range(excess.low, excess.high)}{by}"
    return Finding(
        verdict=verdict,
        sentence=sentence.format(share=percent(excess.estimate), interval=interval),
        share=excess.low,
        measured=measured,
    )


def _few_different(measured: Measured, level: float) -> Finding | None:
    variety, usual = measured.variety, measured.variety_usual
    few = max(FEW, len(measured.space.real) / PER_REAL)
    if variety.estimate > few or variety.high > 2 * few or usual.low < FEWER * variety.high:
        return None
    return _variations(measured)


def _of_few(measured: Measured, level: float) -> Finding | None:
    """More than a few, where nearly all repeat each other."""
    variety, usual = measured.variety, measured.variety_usual
    many = len(measured.space.generated) / FEWER
    most = measured.repeated.excess.low > MOST_OF_THEM
    if not most or variety.high > many or usual.low < FEWER * variety.high:
        return None
    return _variations(measured)


def _variations(measured: Measured) -> Finding:
    variety, usual = measured.variety, measured.variety_usual
    about = max(1, round(variety.estimate))
    what = "one and the same image" if about == 1 else f"about {about:,} different images"
    return Finding(
        verdict="collapsed",
        sentence=f"The generated images are variations of {what}, where real images show at least "
        f"{usual.low:,.0f} (by {space_words(measured)}).",
        share=1.0,
        measured=measured,
    )


def _repeats(evidence: Evidence) -> Finding | None:
    facts, sets = evidence.facts.generated, evidence.facts.sets
    count, made, real = len(facts.repeated), sets["generated"], sets["real"]
    if count == 0 or facts.repeated_p > LEVEL:
        return None
    return Finding(
        verdict="collapsed",
        sentence=f"{percent(count / made.images)} of the generated images repeat another one pixel "
        f"for pixel: {made.images:,} images, {made.different:,} different; of {real.images:,} "
        f"training images {real.different:,} are different.",
        share=count / made.images,
        measured=None,
    )


def _classes(measured: Measured, level: float) -> Finding | None:
    return _shifted(measured, level, by_class=True)


def _clusters(measured: Measured, level: float) -> Finding | None:
    if _classes(measured, level) is not None:
        return None  # says it better
    return _shifted(measured, level, by_class=False)


def _shifted(measured: Measured, level: float, *, by_class: bool) -> Finding | None:
    for counts in measured.proportions:
        if counts.by_class is not by_class or not _is_shifted(counts, measured, level):
            continue
        cells = short_cells(counts, level) or sorted(counts.cells, key=_deficit)[:1]
        named = ", ".join(
            f"{cell.name} ({percent(cell.generated)} for {percent(cell.real)})"
            for cell in cells[:_NAMED]
        )
        more = f" and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
        kind = "classes" if by_class else "clusters of the data"
        return Finding(
            verdict="drops_modes",
            sentence=f"Generated images fall on other {kind} than unseen real images do "
            f"(p = {counts.p_value:.2g}, by {space_words(measured)}); too few are {named}{more}.",
            share=counts.distance,
            measured=measured,
        )
    return None


def _is_shifted(counts: Proportions, measured: Measured, level: float) -> bool:
    return counts.p_value <= level / len(measured.proportions) and counts.distance >= SHIFT


def short_cells(counts: Proportions, level: float) -> list[Cell]:
    """Cells with too few generated images by themselves, the emptiest first."""
    short = [cell for cell in counts.cells if cell.short <= level / len(counts.cells)]
    return sorted(short, key=_deficit)


def _deficit(cell: Cell) -> float:
    return cell.generated / cell.real if cell.real else 1.0


def missed_modes(measured: Measured, level: float) -> Finding | None:
    """Training images that have no generated one among their nearest."""
    missed = measured.missed
    if missed.p_value > level or missed.share.estimate < MISSED:
        return None
    share = missed.share
    classes = sorted(missed.classes.items(), key=lambda item: -item[1])
    most = ", ".join(f"{name} ({percent(lost)})" for name, lost in classes[:_NAMED] if lost > 0.1)
    return Finding(
        verdict="drops_modes",
        sentence=f"{percent(share.estimate)} of the training images are missed (95 % interval "
        f"{percent_range(share.low, share.high)}, by {space_words(measured)})"
        + (f", most of all of {most}." if most else "."),
        share=share.estimate,
        measured=measured,
    )


def _offset(measured: Measured, level: float) -> Finding | None:
    distance = measured.distance
    if distance.sure_low <= FARTHER:
        return None
    return Finding(
        verdict="unlike_the_data",
        sentence=f"Generated images lie {times(distance.offset)} times as far from the training "
        f"images as unseen real images do (by {space_words(measured)}).",
        share=1.0,
        measured=measured,
    )


def _apart(measured: Measured, level: float) -> Finding | None:
    cluster = measured.repeated.cluster
    # A generator that leaves out a share m puts as many images into the rest: 1 / (2 - m).
    left_out = max([measured.missed.share.high, *(2 * c.distance for c in measured.proportions)])
    explained = max(cluster.baseline, 1 / (2 - min(1.0, left_out)))
    if cluster.sure <= explained + APART:
        return None
    return Finding(
        verdict="unlike_the_data",
        sentence=f"{percent(cluster.share)} of the generated images lie nearer to other generated "
        f"images than to the data, where real images do in {percent(cluster.baseline)}: they can "
        f"be told apart from the data (by {space_words(measured)}).",
        share=cluster.share,
        measured=measured,
    )


def times(ratio: float) -> str:
    """A ratio for a sentence: ``1.69``, ``140``."""
    return fixed(ratio, decimals([ratio])) if ratio < 10 else f"{ratio:,.0f}"


def space_words(measured: Measured) -> str:
    """A feature space for a sentence."""
    return "pixels" if measured.space.is_pixels else measured.space.name.replace("_", " ")
