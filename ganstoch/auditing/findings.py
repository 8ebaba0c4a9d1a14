"""From facts and measures to findings, by stated rules, gravest first, and to the verdict.

Null of every rule: generated and unseen real images are draws from one source, repeats and
near-duplicates and all. Each rule is a test at `LEVEL`, shared among the feature spaces; together
they stay well below 5 %, which `python -m ganstoch.bench.calibration` shows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from ganstoch.auditing.distribution_shift import STRICT
from ganstoch.auditing.edited import missed_edits, space_of_edits
from ganstoch.auditing.evidence import Evidence, SpaceEvidence
from ganstoch.auditing.facts import IDENTICAL_LEVEL, Facts
from ganstoch.auditing.proportions import Cell, Proportions
from ganstoch.auditing.report import Verdict, fixed, percent, percent_range
from ganstoch.metrics.excess import Excess

LEVEL = 0.002  # share of audits with nothing wrong in which one rule may say otherwise
SUSPECT = 0.01  # chance at which a number that is no finding points to one
_FARTHER = 1.2  # leaving out the easy half of the digits raises the distance to them by a tenth
_APART = 0.10  # share nearer to its own kind; in splits of a few hundred images it wavers by less
_SHIFT = 0.02  # images that fall on other classes: less is seen in any large set
_MISSED = 0.02
_MOST_OF_THEM = 0.5
_FEW = 10  # different images that are few for any data set
_PER_REAL = 100  # training images for each different generated one, from which on it has collapsed
_FEWER = 10  # times that real images show more different images than a collapsed generator
_NAMED = 5


class Finding(NamedTuple):
    """One rule that holds: of a share of the images at least, in one space or by no space."""

    verdict: Verdict
    share: float
    sentence: str
    space: SpaceEvidence | None = None


def level_of(evidence: Evidence) -> float:
    """The level of a rule's test in each feature space, so that it is `LEVEL` over all."""
    return LEVEL / len(evidence.spaces)


def find(evidence: Evidence) -> list[Finding]:
    """All rules that hold, gravest verdict first, without those that speak of no more images."""
    level = level_of(evidence)

    def strongest(rule: Callable[[SpaceEvidence, float], Finding | None]) -> Finding | None:
        findings = filter(None, (rule(space, level) for space in evidence.spaces))
        return max(findings, key=attrgetter("share"), default=None)

    # Blurred or foreign images lie nearer to each other than to the data, and repeat none.
    blurred = evidence.looks.excess.low > _MOST_OF_THEM
    results = [
        _identical(evidence),
        strongest(_copies),
        strongest(_few_different),
        _repeats(evidence),
        None if blurred else strongest(partial(_few_different, repeating=True)),
        None if blurred else strongest(_nearly_repeated),
        strongest(partial(_shifted, by_class=True)),
        strongest(partial(_shifted, by_class=False)),
        strongest(missed_modes),
        _one_colour(evidence),
        _odd_looks(evidence),
        strongest(_far),
        strongest(_farther),
        strongest(_apart),
    ]
    findings: list[Finding] = []
    for finding in filter(None, results):
        before = [other.share for other in findings if other.verdict == finding.verdict]
        if finding.verdict == "mode_drop" or finding.share > max(before, default=0.0):
            findings.append(finding)
    return findings


def verdict(findings: Sequence[Finding], evidence: Evidence) -> tuple[Verdict, str]:
    """The gravest finding and its sentence, or that there is none and what that means."""
    if findings:
        return findings[0].verdict, findings[0].sentence
    pointing = [signal.clause for signal in signals(evidence)]
    names = " and ".join(space.space.words for space in evidence.spaces)
    if pointing:
        return "undecided", f"No finding by {names}, but {'; '.join(pointing)}."
    return "no_issue", (
        f"Nothing found by {names}. Found 95 times in 100 would have been {_power(evidence)}. "
        f"At most {percent(max(m.copied.excess.high_beyond for m in evidence.spaces))} are such "
        "copies."
    )


def _excess(
    kind: Verdict, excess: Excess, level: float, sentence: str, space: SpaceEvidence | None = None
) -> Finding | None:
    """The rule of every share: more generated than unseen real images are flagged."""
    if excess.low <= 0 or excess.p_value > level:
        return None
    interval = f"95 % interval {percent_range(excess.low, excess.high)}"
    if space is not None:
        interval += f", by {space.space.words}"
    words = sentence.format(share=percent(excess.estimate), interval=interval)
    return Finding(kind, excess.low, words, space)


def _identical(evidence: Evidence) -> Finding | None:
    facts, made = evidence.facts.generated, evidence.facts.sets["generated"].images
    count = len(facts.identical)
    if count == 0 or facts.identical_p > IDENTICAL_LEVEL:
        return None
    sentence = (
        f"{count:,} of the {made:,} generated images ({percent(count / made)}) are, pixel for "
        "pixel, training images that do not repeat in the training set."
    )
    return Finding("memorization", count / made, sentence)


def _copies(space: SpaceEvidence, level: float) -> Finding | None:
    name = space_of_edits(space.space.name, searched=space.edited is not None)
    sentence = "{share} of the generated images are seen to be copies of training images"
    if space.copied.excess.estimate == 1 or missed_edits([name]) == []:
        sentence += " ({interval})."
    else:
        sentence += " ({interval}); copies with edits may be more, see the notes."
    return _excess("memorization", space.copied.excess, level, sentence, space)


def _few_different(space: SpaceEvidence, _: float, *, repeating: bool = False) -> Finding | None:
    """Few different images; or, where nearly all repeat each other, more than a few."""
    size, usual = space.support, space.real_support
    few = max(_FEW, len(space.space.real) / _PER_REAL)
    is_few = size.estimate <= few and size.high <= 2 * few
    if repeating:
        is_few = size.high <= len(space.space.generated) / _FEWER
        is_few = is_few and space.repeats.excess.low > _MOST_OF_THEM
    if not is_few or usual.low < _FEWER * size.high:
        return None
    about = max(1, round(size.estimate))
    what = "one and the same image" if about == 1 else f"about {about:,} different images"
    at_least = f"real images show at least {usual.low:,.0f} (by {space.space.words})"
    sentence = f"The generated images are variations of {what}, where {at_least}."
    return Finding("mode_collapse", 1.0, sentence, space)


def _repeats(evidence: Evidence) -> Finding | None:
    facts, sets = evidence.facts.generated, evidence.facts.sets
    made, real = sets["generated"], sets["real"]
    share = len(facts.repeated) / made.images
    if share == 0 or facts.repeated_p > LEVEL:
        return None
    sentence = (
        f"{percent(share)} of the generated images repeat another one pixel for pixel: "
        f"{made.images:,} images, {made.different:,} different; of {real.images:,} training images "
        f"{real.different:,} are different."
    )
    return Finding("mode_collapse", share, sentence)


def _nearly_repeated(space: SpaceEvidence, level: float) -> Finding | None:
    sentence = "{share} of the generated images are nearly another generated one ({interval})."
    return _excess("mode_collapse", space.repeats.excess, level, sentence, space)


def _shifted(space: SpaceEvidence, level: float, *, by_class: bool) -> Finding | None:
    """Other classes than of unseen real images, or where these say nothing other clusters."""
    shifts = {
        counts.by_class: counts
        for counts in space.proportions
        if counts.p_value <= level / len(space.proportions) and counts.distance >= _SHIFT
    }
    if by_class is not max(shifts, default=None):
        return None
    counts = shifts[by_class]
    cells = short_cells(counts, level) or [min(counts.cells, key=_deficit)]
    names = [f"{c.name} ({percent(c.generated)} for {percent(c.real)})" for c in cells[:_NAMED]]
    more = f" and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
    kind = "classes" if by_class else "clusters of the data"
    sentence = (
        f"Generated images fall on other {kind} than unseen real images do "
        f"(p = {counts.p_value:.2g}, by {space.space.words}); too few are {', '.join(names)}{more}."
    )
    return Finding("mode_drop", counts.distance, sentence, space)


def short_cells(counts: Proportions, level: float) -> list[Cell]:
    """Cells with too few generated images by themselves, the emptiest first."""
    short = [cell for cell in counts.cells if cell.short <= level / len(counts.cells)]
    return sorted(short, key=_deficit)


def _deficit(cell: Cell) -> float:
    return cell.generated / cell.real if cell.real else 1.0


def missed_modes(space: SpaceEvidence, level: float) -> Finding | None:
    """Training images that have no generated one among their nearest."""
    share, classes = space.coverage.missed, space.coverage.classes
    if space.coverage.p_value > level or share.estimate < _MISSED:
        return None
    worst = sorted(classes.items(), key=lambda item: -item[1])[:_NAMED]
    most = ", ".join(f"{name} ({percent(lost)})" for name, lost in worst if lost > 0.1)
    sentence = (
        f"{percent(share.estimate)} of the training images are missed (95 % interval "
        f"{percent_range(share.low, share.high)}, by {space.space.words})"
        + (f", most of all of {most}." if most else ".")
    )
    return Finding("mode_drop", share.estimate, sentence, space)


def _one_colour(evidence: Evidence) -> Finding | None:
    excess = evidence.facts.one_colour
    sentence = (
        f"{excess.count:,} generated images are of one single colour, {{share}} of them beyond "
        f"what real images show ({{interval}}); of these {percent(excess.natural)} are."
    )
    return _excess("distribution_shift", excess, LEVEL / 2, sentence)


def _odd_looks(evidence: Evidence) -> Finding | None:
    sentence = (
        "{share} of the generated images look like no real one ({interval}), most of them "
        f"{evidence.looks.words} than nearly all real images."
    )
    return _excess("distribution_shift", evidence.looks.excess, LEVEL / 2, sentence)


def _far(space: SpaceEvidence, level: float) -> Finding | None:
    farther = "farther from the data than real ones come to be"
    sentence = f"{{share}} of the generated images are {farther} ({{interval}})."
    return _excess("distribution_shift", space.shift.far, level, sentence, space)


def _farther(space: SpaceEvidence, _: float) -> Finding | None:
    if space.shift.sure[0] <= _FARTHER:
        return None
    lie = f"lie {_times(space)} times as far from the training images as unseen real images do"
    sentence = f"Generated images {lie} (by {space.space.words})."
    return Finding("distribution_shift", 1.0, sentence, space)


def _times(space: SpaceEvidence) -> str:
    ratio = space.shift.median_ratio
    return fixed(ratio)[0] if ratio < 10 else f"{ratio:,.0f}"


def _apart(space: SpaceEvidence, _: float) -> Finding | None:
    repeats = space.repeats
    # A generator that leaves out a share m puts as many images into the rest: 1 / (2 - m).
    left_out = max([space.coverage.missed.high, *(2 * c.distance for c in space.proportions)])
    explained = max(repeats.baseline, 1 / (2 - min(1.0, left_out)))
    if repeats.sure <= explained + _APART:
        return None
    sentence = (
        f"{percent(repeats.share)} of the generated images lie nearer to other generated images "
        f"than to the data, where real images do in {percent(repeats.baseline)}: they can be "
        f"told apart from the data (by {space.space.words})."
    )
    return Finding("distribution_shift", repeats.share, sentence, space)


class Signal(NamedTuple):
    """A number that points to a verdict which no rule finds."""

    verdict: Verdict
    clause: str


def signals(evidence: Evidence) -> Iterator[Signal]:
    """What points to a fault that no rule finds."""
    facts, looks, real = evidence.facts.generated, evidence.looks, evidence.facts.sets["real"]
    level = level_of(evidence)
    # Where training images repeat they explain some, and the test says that these are no more.
    single = real.images == real.different * evidence.facts.times
    if facts.identical and facts.identical_p > IDENTICAL_LEVEL and single:
        count, made = len(facts.identical), evidence.facts.sets["generated"].images
        are = "are, pixel for pixel, training images"
        if count == 1:
            are = "is, pixel for pixel, a training image"
        enough = _enough(evidence.facts)
        more = f"; at this rate {enough:,} generated images would tell" if enough else ""
        few = f"{count:,} of {made:,} generated images {are}"
        yield Signal("memorization", f"{few}, too few to rule out repeats in the data{more}")
    if LEVEL / 2 < looks.excess.p_value <= SUSPECT:
        odd = f"{_interval(looks.excess)} of the generated images look like no real one"
        yield Signal("distribution_shift", odd)
    for space in evidence.spaces:
        by, copied = f"(by {space.space.words})", space.copied.excess
        if copied.low > 0 and copied.p_value > level:
            yield Signal("memorization", f"{_interval(copied)} seem to be copies {by}")
        repeats, far = space.repeats.excess, space.shift.far
        if level < repeats.p_value <= SUSPECT:
            yield Signal("mode_collapse", f"{_interval(repeats)} seem to repeat others {by}")
        if level < far.p_value <= SUSPECT:
            yield Signal("distribution_shift", f"{_interval(far)} seem unlike the data {by}")
        missed = space.coverage.missed
        if missed.low > 0 and missed_modes(space, level) is None:
            lost = f"{percent(missed.estimate)} of the data seem to be missed {by}"
            yield Signal("mode_drop", lost)
        if (nearer := _nearer(space, level)) is not None:
            yield Signal("memorization", nearer)


def _nearer(space: SpaceEvidence, level: float) -> str | None:
    """That generated images lie nearer to training images than unseen ones do, as a clause."""
    by, score = f"(by {space.space.words})", space.train_vs_held_out
    if score is not None and score.p_value <= level:
        nearer = "generated images lie nearer to training than to held-out images"
        allows = f"than chance allows, p = {score.p_value:.2g} {by}"
        return f"{nearer} {allows}: copies with edits may do this"
    if space.ct is not None and space.ct.z <= -STRICT * math.sqrt(space.searches.design):
        nearer = "generated images lie nearer to training images than held-out ones do"
        return f"{nearer}, Z = {space.ct.z:.1f} {by}: copies with edits, or blur"
    if space.shift.sure[1] < 1:
        nearer = f"generated images lie {_times(space)} times as far from training images"
        return f"{nearer} as unseen real ones {by}: copies with edits, or blur"
    return None


class Power(NamedTuple):
    """What a verdict's rule looks for, and the least shares that it finds 95 times in 100."""

    words: str
    shares: list[Callable[[float], float | None]]  # by one space each, of times as many images


def powers(evidence: Evidence) -> dict[Verdict, Power]:
    """Of every verdict whose rule counts images."""
    level, spaces = level_of(evidence), evidence.spaces

    def found(excess: Excess, level: float = level) -> Callable[[float], float | None]:
        return lambda times: excess.times(times).detectable(level)

    def short(counts: Proportions, level: float) -> Callable[[float], float | None]:
        return lambda times: counts.detectable(level, times=times)

    unlike = [*(found(m.shift.far) for m in spaces), found(evidence.looks.excess, LEVEL / 2)]
    left_out = [
        short(counts, level / len(m.proportions)) for m in spaces for counts in m.proportions
    ]
    return {
        "memorization": Power("copies without edits", [found(m.copied.excess) for m in spaces]),
        "mode_collapse": Power("repeated images", [found(m.repeats.excess) for m in spaces]),
        "distribution_shift": Power("images unlike the data", unlike),
        "mode_drop": Power("one part of the data left out", left_out),
    }


def least_share(power: Power) -> float | None:
    """The least share that any space finds in the images that there are."""
    return min((s for share in power.shares if (s := share(1.0)) is not None), default=None)


def _power(evidence: Evidence) -> str:
    """What the rules would have found, as a list of shares."""
    shares = {power.words: least_share(power) for power in powers(evidence).values()}
    clauses = [f"{words} from {percent(s)} on" for words, s in shares.items() if s is not None]
    none = [words for words, share in shares.items() if share is None]
    if none:
        clauses.append(f"but at no share {', '.join(none)}, for which these sets say too little")
    return ", ".join(clauses)


def _enough(facts: Facts) -> int | None:
    """Generated images at which as large a share of identical ones would be a finding."""
    made, real = facts.sets["generated"].images, facts.sets["real"].different
    rate = len(facts.generated.identical) / made
    for size in range(made, 101 * made, made):
        split = 2 * real * size / (real + size) ** 2  # chance that twins fall into both sets
        if split ** (rate * size) <= IDENTICAL_LEVEL:
            return size
    return None


def _interval(excess: Excess) -> str:
    return f"{percent(excess.estimate)} ({percent_range(excess.low, excess.high)})"
