"""Checks of a gate: what the evidence says of each condition, and how many images would tell.

A bound fails where the 95 % interval lies above it in any feature space, and holds where it lies
below in all of them. In between the sets are too small.
"""

from collections.abc import Callable, Sequence

from ganstoch.auditing.evidence import NOTABLE, Evidence
from ganstoch.auditing.facts import IDENTICAL_LEVEL
from ganstoch.auditing.findings import Finding, least_share, powers, signals
from ganstoch.auditing.gate import Gate
from ganstoch.auditing.inputs import Role
from ganstoch.auditing.report import Check, Verdict, percent, percent_range
from ganstoch.metrics.excess import clopper_pearson

_MOST = 1000  # times as many images as there are, beyond which no number is told


def judge(gate: Gate, evidence: Evidence, findings: Sequence[Finding]) -> tuple[Check, ...]:
    """Every check of the gate, in the order of its conditions."""
    checks = [_verdict(verdict, evidence, findings) for verdict in gate.fail_on]
    if gate.max_copied is not None:
        checks.append(_copied(gate.max_copied, evidence))
    if gate.max_missed is not None:
        checks.append(_missed(gate.max_missed, evidence))
    return tuple(checks)


def _verdict(verdict: Verdict, evidence: Evidence, findings: Sequence[Finding]) -> Check:
    name = f"fail_on={verdict}"
    pointing = [s.clause for s in signals(evidence) if verdict in (s.verdict, "undecided")]
    if verdict == "undecided":
        if findings or not pointing:
            return Check(name=name, outcome="passed", sentence="Nothing is undecided.")
        return Check(name=name, outcome="failed", sentence=f"No finding, but {pointing[0]}.")
    for finding in findings:
        if finding.verdict == verdict:
            return Check(name=name, outcome="failed", sentence=finding.sentence)
    if pointing:
        return Check(name=name, outcome="inconclusive", sentence=f"No finding, but {pointing[0]}.")
    if verdict == "memorization" and evidence.facts.repeating.low > 0:
        sentence = f"No finding, but {_repeating(evidence)}."
        return Check(name=name, outcome="inconclusive", sentence=sentence)
    made = evidence.facts.sets["generated"].images
    if verdict == "memorization" and any(s.near_one >= NOTABLE * made for s in evidence.hiding):
        sentence = f"No finding, but {_hidden(evidence)}."
        return Check(name=name, outcome="inconclusive", sentence=sentence)
    power = powers(evidence)[verdict]
    if (share := least_share(power)) is not None:
        sentence = f"No finding. Found 95 times in 100 would have been {power.words}, from "
        return Check(name=name, outcome="passed", sentence=f"{sentence}{percent(share)} on.")

    def is_told(times: float) -> bool:
        return any(share(times) is not None for share in power.shares)

    takes = _takes(evidence, _enough(evidence.facts.sets["generated"].images, is_told))
    sentence = f"No finding, but {power.words} would be found at no share: too few images{takes}."
    return Check(name=name, outcome="inconclusive", sentence=sentence)


def _copied(bound: float, evidence: Evidence) -> Check:
    excesses = [space.copied.excess for space in evidence.spaces]
    worst = max(excesses, key=lambda excess: excess.estimate)
    low, high = max(e.low for e in excesses), max(e.high_beyond for e in excesses)
    facts, made = evidence.facts.generated, evidence.facts.sets["generated"].images
    if facts.identical_p <= IDENTICAL_LEVEL:  # certain ones need no comparison with unseen images
        low = max(low, clopper_pearson(len(facts.identical), made)[0])

    repeating = evidence.facts.repeating
    if "held_out" in evidence.facts.sets:
        low = max(low, repeating.low)
    if repeating.count:
        high = max(high, repeating.high_beyond)

    near = max((clopper_pearson(s.near_one, made)[1] for s in evidence.hiding), default=0.0)
    high = max(high, near)

    def is_told(times: float) -> bool:
        more = worst.times(times)
        return more.low > bound or more.high_beyond <= bound

    takes = _takes(evidence, _enough(made, is_told))
    if repeating.high_beyond > bound and repeating.count:
        takes = f"; {_repeating(evidence)}"
    elif near > bound:
        takes = f"; {_hidden(evidence)}"
    what = "of the generated images are copies, as far as these spaces see them"
    return _bounded("max_copied", bound, (low, high), what, takes)


def _repeating(evidence: Evidence) -> str:
    """Of generated images that equal training images which repeat, and what would tell of them."""
    same = "generated images are, pixel for pixel, training images that repeat"
    rest = "and more so than held-out ones"
    if "held_out" not in evidence.facts.sets:
        rest = "and only --held-out images would tell whether that is by nature"
    return f"{evidence.facts.repeating.count:,} {same}, {rest}"


def _hidden(evidence: Evidence) -> str:
    """Of generated images that may be copies among near-duplicates, and what would tell."""
    worst = max(evidence.hiding, key=lambda space: space.near_one)
    near = f"{worst.near_one:,} generated images are as near to a training image as its"
    return f"{near} near-duplicates, and only --held-out images would tell whether by nature"


def _missed(bound: float, evidence: Evidence) -> Check:
    coverages = [space.coverage for space in evidence.spaces]
    ends = max(c.missed.low for c in coverages), max(c.missed.high for c in coverages)
    worst = max(coverages, key=lambda coverage: coverage.missed.high)

    def is_told(times: float) -> bool:
        worth, share = worst.worth * times, worst.missed
        # The half-width of an interval falls with the root of the number of images.
        low = share.estimate - (share.estimate - share.low) / times**0.5
        return low > bound or clopper_pearson(worst.rate * worth, worth)[1] <= bound

    needed = _enough(evidence.facts.sets["real"].images, is_told)
    takes = f"; it takes about {needed:,} training images" if needed else ""
    return _bounded("max_missed", bound, ends, "of the training images are missed", takes)


def _bounded(name: str, bound: float, ends: tuple[float, float], what: str, takes: str) -> Check:
    low, high = ends
    interval = f"{percent_range(low, max(low, high))} {what} (95 % interval)"
    if low > bound:
        return Check(name=name, outcome="failed", sentence=f"{interval}: above {percent(bound)}.")
    if high <= bound:
        sentence = f"{interval}: no more than {percent(bound)}."
        return Check(name=name, outcome="passed", sentence=sentence)
    takes = takes or "; the share lies so near to it that no number of images would tell"
    sentence = f"{interval}: too few images to tell from {percent(bound)}{takes}."
    return Check(name=name, outcome="inconclusive", sentence=sentence)


def _enough(size: int, is_told: Callable[[float], bool]) -> int | None:
    """About how many images tell, of ``size`` that do not; to two digits."""
    times = 1.0
    while not is_told(times):
        times *= 1.02
        if times > _MOST:
            return None
    needed = int(size * times) + 1
    unit: int = 10 ** max(0, len(str(needed)) - 2)
    return -(-needed // unit) * unit


def _takes(evidence: Evidence, needed: int | None) -> str:
    """So many generated images, and unseen real ones in proportion, as the end of a sentence."""
    if needed is None:
        return ""
    sets = evidence.facts.sets
    role: Role = "held_out" if "held_out" in sets else "real"
    unseen = round(sets[role].images * needed / sets["generated"].images)
    kind = "held-out" if role == "held_out" else "training"
    return f"; it takes about {needed:,} generated and {unseen:,} {kind} images"
