"""The verdict of an audit: the gravest finding, or what it means that there is none.

undecided        no rule holds, and a number points the other way: identical images too few to tell
                 from chance, a 95 % interval of copied or missed images above 0, another test at
                 `SUSPECT`, generated images nearer to training than to held-out ones
nothing_found    none of these; the sentence says what would have been found
"""

from __future__ import annotations

from collections.abc import Sequence

from ganstoch.auditing.distance import STRICT
from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.facts import IDENTICAL_LEVEL, Facts
from ganstoch.auditing.findings import (
    LEVEL,
    Finding,
    level_of,
    missed_modes,
    space_words,
    times,
)
from ganstoch.metrics.excess import Excess
from ganstoch.report.audit_report import Verdict
from ganstoch.report.page_words import percent, percent_range

__all__ = ["signals", "verdict"]

SUSPECT = 0.01
"""Chance at which a number that is no finding points to one."""


def verdict(findings: Sequence[Finding], evidence: Evidence) -> tuple[Verdict, str]:
    """The gravest finding and its sentence, or that there is none and what that means."""
    if findings:
        return findings[0].verdict, findings[0].sentence
    pointing = signals(evidence)
    names = " and ".join(space_words(measured) for measured in evidence.spaces)
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
        by = f"(by {space_words(measured)})"
        level = level_of(evidence)
        if measured.copied.low > 0 and measured.copied.excess.p_value > level:
            said.append(f"{_interval(measured.copied.excess)} seem to be copies {by}")
        for excess, words in (
            (measured.repeated.excess, "seem to repeat others"),
            (measured.distance.far, "seem unlike the data"),
        ):
            if level < excess.p_value <= SUSPECT:
                said.append(f"{_interval(excess)} {words} {by}")
        missed = measured.missed
        if missed.share.low > 0 and missed_modes(measured, level) is None:
            said.append(f"{percent(missed.share.estimate)} of the data seem to be missed {by}")
        if measured.nearer is not None and measured.nearer.p_value <= level:
            said.append(
                f"generated images lie nearer to training than to held-out images than chance "
                f"allows, p = {measured.nearer.p_value:.2g} {by}: copies with edits may do this"
            )
        elif measured.copying is not None and measured.copying.z <= -STRICT:
            said.append(
                "generated images lie nearer to training images than held-out ones do, "
                f"Z = {measured.copying.z:.1f} {by}: copies with edits, or blur"
            )
        elif measured.distance.sure_high < 1:
            said.append(
                f"generated images lie {times(measured.distance.offset)} times as far from "
                f"training images as unseen real ones {by}: copies with edits, or blur"
            )
    return said


def _power(evidence: Evidence) -> str:
    """What the rules would have found, as a list of shares."""

    def least(shares: Sequence[float | None]) -> float | None:
        return min((share for share in shares if share is not None), default=None)

    level, spaces = level_of(evidence), evidence.spaces
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
    for size in range(made, 101 * made, made):
        split = 2 * real * size / (real + size) ** 2  # chance that twins fall into both sets
        if split ** (rate * size) <= IDENTICAL_LEVEL:
            return size
    return None


def _interval(excess: Excess) -> str:
    return f"{percent(excess.estimate)} ({percent_range(excess.low, excess.high)})"
