"""From facts and measures to a verdict, by stated rules.

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
undecided        no rule holds, and a number points the other way: identical images too few to tell
                 from chance, a 95 % interval of copied or missed images above 0, another test at
                 `SUSPECT`, generated images nearer to training than to held-out ones
nothing_found    none of these; the sentence says what would have been found

The verdict is the gravest, in this order, with the evidence of the space where it is strongest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from ganstoch.auditing.appearance import Appearance
from ganstoch.auditing.facts import IDENTICAL_LEVEL, Facts
from ganstoch.auditing.measure import Measured
from ganstoch.auditing.proportions import Cell, Proportions
from ganstoch.metrics.excess import Excess
from ganstoch.reporting.audit_report import Verdict
from ganstoch.reporting.page_words import decimals, fixed, percent, percent_range

__all__ = ["LEVEL", "Evidence", "Finding", "find", "short_cells", "signals", "verdict"]

ORDER: tuple[Verdict, ...] = ("copies", "collapsed", "drops_modes", "unlike_the_data")

LEVEL = 0.002
"""Of audits in which nothing is wrong, the share in which one rule may say otherwise."""

SUSPECT = 0.01
"""Chance at which a number that is no finding points to one."""

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

SURELY_COPYING = -3.29
"""Standard errors of the three-sample test, at 0.1 % two-sided."""

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """All that the rules look at.

    Attributes:
        facts: what is certain.
        looks: which generated images look like no real one.
        spaces: what was measured, at least one space.
    """

    facts: Facts
    looks: Appearance
    spaces: tuple[Measured, ...]

    @property
    def level(self) -> float:
        """Of one rule in one space."""
        return LEVEL / len(self.spaces)


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
        *(_in_spaces(evidence, rule) for rule in (_classes, _clusters, _missed)),
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


def verdict(findings: Sequence[Finding], evidence: Evidence) -> tuple[Verdict, str]:
    """The gravest finding and its sentence, or that there is none and what that means."""
    if findings:
        return findings[0].verdict, findings[0].sentence
    pointing = signals(evidence)
    names = " and ".join(_words(measured) for measured in evidence.spaces)
    if pointing:
        return "undecided", f"No finding by {names}, but {'; '.join(pointing)}."
    return "nothing_found", (
        f"Nothing found by {names}. Found 95 times in 100 would have been {_power(evidence)}. "
        f"At most {percent(max(m.copied.excess.high_beyond for m in evidence.spaces))} are such "
        "copies."
    )


def signals(evidence: Evidence) -> list[str]:
    """What points to a fault that no rule finds, each a clause."""
    said = []
    facts, looks = evidence.facts.generated, evidence.looks
    real = evidence.facts.sets["real"]
    # Where training images repeat they explain some, and the test says that these are no more.
    single = real.images == real.different * evidence.facts.times
    if facts.identical and facts.identical_p > IDENTICAL_LEVEL and single:
        count, made = len(facts.identical), evidence.facts.sets["generated"].images
        enough = _enough(evidence.facts)
        more = "" if enough is None else f"; at this rate {enough:,} generated images would tell"
        said.append(
            f"{count:,} of {made:,} generated images {'is' if count == 1 else 'are'}, pixel for "
            f"pixel, {'a training image' if count == 1 else 'training images'}, too few to rule "
            f"out repeats in the data{more}"
        )
    if LEVEL / 2 < looks.excess.p_value <= SUSPECT:
        said.append(f"{_interval(looks.excess)} of the generated images look like no real one")
    for measured in evidence.spaces:
        by = f"(by {_words(measured)})"
        level = evidence.level
        if measured.copied.low > 0 and measured.copied.excess.p_value > level:
            said.append(f"{_interval(measured.copied.excess)} seem to be copies {by}")
        for excess, words in (
            (measured.repeated.excess, "seem to repeat others"),
            (measured.distance.far, "seem unlike the data"),
        ):
            if level < excess.p_value <= SUSPECT:
                said.append(f"{_interval(excess)} {words} {by}")
        missed = measured.missed
        if missed.share.low > 0 and _missed(measured, level) is None:
            said.append(f"{percent(missed.share.estimate)} of the data seem to be missed {by}")
        if measured.nearer is not None and measured.nearer.p_value <= level:
            said.append(
                f"generated images lie nearer to training than to held-out images than chance "
                f"allows, p = {measured.nearer.p_value:.2g} {by}: copies with edits may do this"
            )
        elif measured.copying is not None and measured.copying.z <= SURELY_COPYING:
            said.append(
                "generated images lie nearer to training images than held-out ones do, "
                f"Z = {measured.copying.z:.1f} {by}: copies with edits, or blur"
            )
        elif measured.distance.sure_high < 1:
            said.append(
                f"generated images lie {_times(measured.distance.offset)} times as far from "
                f"training images as unseen real ones {by}: copies with edits, or blur"
            )
    return said


def _in_spaces(
    evidence: Evidence, rule: Callable[[Measured, float], Finding | None]
) -> Finding | None:
    """A rule in the space where it speaks of most images."""
    held = [f for m in evidence.spaces if (f := rule(m, evidence.level)) is not None]
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
    excess = measured.copied.excess
    if excess.low <= 0 or excess.p_value > level:
        return None
    return Finding(
        verdict="copies",
        sentence=f"{percent(excess.estimate)} of the generated images are seen to be copies of "
        f"training images (95 % interval {percent_range(excess.low, excess.high)}, by "
        f"{_words(measured)}); copies that were mirrored, shifted or cropped may be more.",
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
        f"{usual.low:,.0f} (by {_words(measured)}).",
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


def _nearly_repeated(measured: Measured, level: float) -> Finding | None:
    excess = measured.repeated.excess
    if excess.low <= 0 or excess.p_value > level:
        return None
    return Finding(
        verdict="collapsed",
        sentence=f"{percent(excess.estimate)} of the generated images are nearly another generated "
        f"one (95 % interval {percent_range(excess.low, excess.high)}, by {_words(measured)}).",
        share=excess.low,
        measured=measured,
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
            f"(p = {counts.p_value:.2g}, by {_words(measured)}); too few are {named}{more}.",
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


def _missed(measured: Measured, level: float) -> Finding | None:
    missed = measured.missed
    if missed.p_value > level or missed.share.estimate < MISSED:
        return None
    share = missed.share
    classes = sorted(missed.classes.items(), key=lambda item: -item[1])
    most = ", ".join(f"{name} ({percent(lost)})" for name, lost in classes[:_NAMED] if lost > 0.1)
    return Finding(
        verdict="drops_modes",
        sentence=f"{percent(share.estimate)} of the training images are missed (95 % interval "
        f"{percent_range(share.low, share.high)}, by {_words(measured)})"
        + (f", most of all of {most}." if most else "."),
        share=share.estimate,
        measured=measured,
    )


def _one_colour(evidence: Evidence) -> Finding | None:
    excess = evidence.facts.one_colour
    if excess.low <= 0 or excess.p_value > LEVEL / 2:
        return None
    return Finding(
        verdict="unlike_the_data",
        sentence=f"{excess.count:,} generated images ({percent(excess.rate)}) are of one single "
        f"colour; of the real ones {percent(excess.natural)} are.",
        share=excess.estimate,
        measured=None,
    )


def _odd_looks(evidence: Evidence) -> Finding | None:
    excess = evidence.looks.excess
    if excess.low <= 0 or excess.p_value > LEVEL / 2:
        return None
    return Finding(
        verdict="unlike_the_data",
        sentence=f"{percent(excess.estimate)} of the generated images look like no real one (95 % "
        f"interval {percent_range(excess.low, excess.high)}), most of them {evidence.looks.words} "
        "than nearly all real images.",
        share=excess.low,
        measured=None,
    )


def _far(measured: Measured, level: float) -> Finding | None:
    excess = measured.distance.far
    if excess.low <= 0 or excess.p_value > level:
        return None
    return Finding(
        verdict="unlike_the_data",
        sentence=f"{percent(excess.estimate)} of the generated images are farther from the data "
        f"than real ones come to be (95 % interval {percent_range(excess.low, excess.high)}, by "
        f"{_words(measured)}).",
        share=excess.low,
        measured=measured,
    )


def _offset(measured: Measured, level: float) -> Finding | None:
    distance = measured.distance
    if distance.sure_low <= FARTHER:
        return None
    return Finding(
        verdict="unlike_the_data",
        sentence=f"Generated images lie {_times(distance.offset)} times as far from the training "
        f"images as unseen real images do (by {_words(measured)}).",
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
        f"be told apart from the data (by {_words(measured)}).",
        share=cluster.share,
        measured=measured,
    )


def _power(evidence: Evidence) -> str:
    """What the rules would have found, as a list of shares."""

    def least(shares: Sequence[float | None]) -> float | None:
        return min((share for share in shares if share is not None), default=None)

    level, spaces = evidence.level, evidence.spaces
    limits = {
        "copies without edits": [m.copied.excess.detectable(level) for m in spaces],
        "repeated images": [m.repeated.excess.detectable(level) for m in spaces],
        "images unlike the data": [
            evidence.looks.excess.detectable(LEVEL / 2),
            *(m.distance.far.detectable(level) for m in spaces),
        ],
        "one part of the data left out": [
            counts.detectable(level / len(m.proportions))
            for m in spaces
            for counts in m.proportions
        ],
    }
    known = {name: share for name, found in limits.items() if (share := least(found)) is not None}
    said = [f"{name} from {percent(share)} on" for name, share in known.items()]
    unknown = [name for name in limits if name not in known]
    if unknown:
        said.append(f"but at no share {', '.join(unknown)}, for which these sets say too little")
    return ", ".join(said)


def _enough(facts: Facts) -> int | None:
    """Generated images at which as large a share of identical ones would be a finding."""
    made, real = facts.sets["generated"].images, facts.sets["real"].different
    rate = len(facts.generated.identical) / made
    for times in range(1, 101):
        size = made * times
        split = 2 * real * size / (real + size) ** 2  # chance that twins fall into both sets
        if split ** (rate * size) <= IDENTICAL_LEVEL:
            return size
    return None


def _interval(excess: Excess) -> str:
    return f"{percent(excess.estimate)} ({percent_range(excess.low, excess.high)})"


def _times(ratio: float) -> str:
    return fixed(ratio, decimals([ratio])) if ratio < 10 else f"{ratio:,.0f}"


def _words(measured: Measured) -> str:
    return "pixels" if measured.space.is_pixels else measured.space.name.replace("_", " ")
