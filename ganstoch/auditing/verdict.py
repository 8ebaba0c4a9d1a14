"""The verdict of an audit: the gravest finding, or what it means that there is none.

undecided  no rule holds, and a number points the other way: identical images too few to tell from
           chance, a 95 % interval of copied or missed images above 0, another test at `SUSPECT`,
           generated images nearer to training than to held-out ones
no_issue   none of these; the sentence says what would have been found
"""

from __future__ import annotations

from collections.abc import Sequence

from ganstoch.auditing.distribution_shift import STRICT
from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.facts import IDENTICAL_LEVEL, Facts
from ganstoch.auditing.findings import LEVEL, Finding, missed_modes, times
from ganstoch.auditing.report import Verdict
from ganstoch.auditing.words import percent, percent_range
from ganstoch.metrics.excess import Excess

SUSPECT = 0.01
"""Chance at which a number that is no finding points to one."""


def verdict(findings: Sequence[Finding], evidence: Evidence) -> tuple[Verdict, str]:
    """The gravest finding and its sentence, or that there is none and what that means."""
    if findings:
        return findings[0].verdict, findings[0].sentence
    pointing = signals(evidence)
    names = " and ".join(space.space.words for space in evidence.spaces)
    if pointing:
        return "undecided", f"No finding by {names}, but {'; '.join(pointing)}."
    return "no_issue", (
        f"Nothing found by {names}. Found 95 times in 100 would have been {_power(evidence)}. "
        f"At most {percent(max(m.copied.excess.high_beyond for m in evidence.spaces))} are such "
        "copies."
    )


def signals(evidence: Evidence) -> list[str]:
    """What points to a fault that no rule finds, each a clause."""
    clauses = []
    facts, looks = evidence.facts.generated, evidence.looks
    real = evidence.facts.sets["real"]
    # Where training images repeat they explain some, and the test says that these are no more.
    single = real.images == real.different * evidence.facts.times
    if facts.identical and facts.identical_p > IDENTICAL_LEVEL and single:
        count, made = len(facts.identical), evidence.facts.sets["generated"].images
        enough = _enough(evidence.facts)
        more = "" if enough is None else f"; at this rate {enough:,} generated images would tell"
        clauses.append(
            f"{count:,} of {made:,} generated images {'is' if count == 1 else 'are'}, pixel for "
            f"pixel, {'a training image' if count == 1 else 'training images'}, too few to rule "
            f"out repeats in the data{more}"
        )
    if LEVEL / 2 < looks.excess.p_value <= SUSPECT:
        clauses.append(f"{_interval(looks.excess)} of the generated images look like no real one")
    for space in evidence.spaces:
        by = f"(by {space.space.words})"
        level = LEVEL / len(evidence.spaces)
        if space.copied.excess.low > 0 and space.copied.excess.p_value > level:
            clauses.append(f"{_interval(space.copied.excess)} seem to be copies {by}")
        for excess, words in (
            (space.repeats.excess, "seem to repeat others"),
            (space.shift.far, "seem unlike the data"),
        ):
            if level < excess.p_value <= SUSPECT:
                clauses.append(f"{_interval(excess)} {words} {by}")
        missed = space.coverage.missed
        if missed.low > 0 and missed_modes(space, level) is None:
            clauses.append(f"{percent(missed.estimate)} of the data seem to be missed {by}")
        score = space.train_vs_held_out
        if score is not None and score.p_value <= level:
            clauses.append(
                f"generated images lie nearer to training than to held-out images than chance "
                f"allows, p = {score.p_value:.2g} {by}: copies with edits may do this"
            )
        elif space.ct is not None and space.ct.z <= -STRICT:
            clauses.append(
                "generated images lie nearer to training images than held-out ones do, "
                f"Z = {space.ct.z:.1f} {by}: copies with edits, or blur"
            )
        elif space.shift.sure_high < 1:
            clauses.append(
                f"generated images lie {times(space.shift.median_ratio)} times as far from "
                f"training images as unseen real ones {by}: copies with edits, or blur"
            )
    return clauses


def _power(evidence: Evidence) -> str:
    """What the rules would have found, as a list of shares."""
    level, spaces = LEVEL / len(evidence.spaces), evidence.spaces
    limits = {
        "copies without edits": [m.copied.excess.detectable(level) for m in spaces],
        "repeated images": [m.repeats.excess.detectable(level) for m in spaces],
        "images unlike the data": [
            evidence.looks.excess.detectable(LEVEL / 2),
            *(m.shift.far.detectable(level) for m in spaces),
        ],
        "one part of the data left out": [
            counts.detectable(level / len(m.proportions))
            for m in spaces
            for counts in m.proportions
        ],
    }
    shares = {name: [s for s in each if s is not None] for name, each in limits.items()}
    clauses = [f"{name} from {percent(min(each))} on" for name, each in shares.items() if each]
    none = [name for name, each in shares.items() if not each]
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
