"""From measures to a verdict, by stated rules.

Every rule compares with what unseen real images show in the generated images' place, and holds only
if the end of an interval does, so that chance alone rarely makes one:

copies           the 95 % interval of the share of copies excludes 0, and generated images are
                 counted as copies more often than unseen real ones (Fisher's exact test, p at most
                 0.001)
collapsed        the 95 % interval of the number of different images ends at or below a hundredth
                 of the number of training images, or 10 if that is more, and real images show ten
                 times as many
drops_modes      more training images are missed than the 1 % that unseen real images miss: the
                 99.9 % interval begins above 3 %; or, of one class, above 10 % and twice what
                 unseen real images miss of it
unlike_the_data  generated images lie typically more than 1.2 times as far from the training
                 images as unseen real ones do; or they lie nearer to each other than to the data,
                 by 0.1 more than modes left out explain (99.9 % intervals)
nothing_found    none of these

Several may hold in several feature spaces; the verdict is the gravest, in this order, with the
evidence of the space where it is strongest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import fisher_exact

from ganstoch.auditing.measure import Measured
from ganstoch.auditing.missed import ClassMissed
from ganstoch.reporting.audit_report import Verdict

__all__ = ["Finding", "find", "verdict"]

ORDER: tuple[Verdict, ...] = ("copies", "collapsed", "drops_modes", "unlike_the_data")

RARE = 0.001
"""Of audits in which nothing is wrong, the share in which the test for copies may say otherwise."""

FEW = 10
"""Different images that are few for any data set."""

PER_REAL = 100
"""Training images for each different generated one, from which on a generator has collapsed."""

MISSED = 0.03
"""Three times what is missed by nature; in random splits of a few hundred images the interval began
below 2 %."""

MISSED_OF_CLASS = 0.10

FARTHER = 1.2
"""Leaving out the easy half of the handwritten digits raises the distance to them by a tenth."""

APART = 0.10
"""Share that lies nearer to its own kind for no other reason; in random splits of a few hundred
images it wavers by less."""

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule that holds.

    Attributes:
        verdict: which.
        sentence: for a person, with its numbers.
        strength: by which spaces are compared, larger where the evidence is stronger.
        measured: the space it was found in.
    """

    verdict: Verdict
    sentence: str
    strength: float
    measured: Measured


def find(spaces: Sequence[Measured]) -> tuple[Finding, ...]:
    """All rules that hold, gravest first, each in the space where its evidence is strongest."""
    found = []
    for rule in (_copies, _collapsed, _drops_modes, _unlike):
        held = [finding for measured in spaces if (finding := rule(measured))]
        if held:
            found.append(max(held, key=lambda finding: finding.strength))
    return tuple(found)


def verdict(findings: Sequence[Finding], spaces: Sequence[Measured]) -> tuple[Verdict, str]:
    """The gravest finding and its sentence."""
    if findings:
        return findings[0].verdict, findings[0].sentence
    names = " and ".join(_words(measured) for measured in spaces)
    copied = max(spaces, key=lambda measured: measured.copied.high).copied
    return "nothing_found", (
        f"Nothing found in {names}: generated images are as near to the training images, and these "
        f"to them, as unseen real images are; at most {_percent(copied.high)} are copies."
    )


def copies_p_value(measured: Measured) -> float:
    """Of Fisher's exact test that copies are no more frequent than among unseen real images."""
    copied, unseen = measured.copied, measured.unseen
    usual = round(copied.natural * unseen)
    made = len(copied.scores)
    table = [[copied.flagged, made - copied.flagged], [usual, unseen - usual]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def _copies(measured: Measured) -> Finding | None:
    copied = measured.copied
    if copied.low <= 0 or copies_p_value(measured) > RARE:
        return None
    return Finding(
        verdict="copies",
        sentence=f"{_percent(copied.estimate)} of the generated images are copies of training "
        f"images (95 % interval {_percent(copied.low)} to {_percent(copied.high)}, "
        f"by {_words(measured)}).",
        strength=copied.low,
        measured=measured,
    )


def _collapsed(measured: Measured) -> Finding | None:
    variety, usual = measured.variety, measured.variety_usual
    limit = max(FEW, len(measured.space.real) / PER_REAL)
    if variety.high > limit or usual.low < 10 * variety.high:
        return None
    about = max(1, round(variety.estimate))
    what = "one and the same image" if about == 1 else f"about {about} different images"
    return Finding(
        verdict="collapsed",
        sentence=f"The generated images are variations of {what}, where real images show at least "
        f"{usual.low:,.0f} (by {_words(measured)}).",
        strength=1 / max(variety.high, 1.0),
        measured=measured,
    )


def _drops_modes(measured: Measured) -> Finding | None:
    missed = measured.missed
    classes = dropped_classes(measured)
    if missed.sure <= MISSED and not classes:
        return None
    named = ", ".join(f"{name} ({_percent(c.share)})" for name, c in list(classes.items())[:_NAMED])
    more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
    share = missed.share
    return Finding(
        verdict="drops_modes",
        sentence=f"{_percent(share.estimate)} of the training images are missed (95 % interval "
        f"{_percent(share.low)} to {_percent(share.high)}, by {_words(measured)})"
        + (f", most of all of the classes {named}{more}." if classes else "."),
        strength=missed.sure,
        measured=measured,
    )


def dropped_classes(measured: Measured) -> dict[str, ClassMissed]:
    """Classes of which much is missed, the most missed first."""
    found = {
        name: c
        for name, c in measured.missed.classes.items()
        if c.sure > max(MISSED_OF_CLASS, 2 * c.baseline)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def _unlike(measured: Measured) -> Finding | None:
    like, missed = measured.likeness, measured.missed
    by = _words(measured)
    if like.offset_sure > FARTHER:
        return Finding(
            verdict="unlike_the_data",
            sentence=f"Generated images lie {like.offset:.2g} times as far from the training "
            f"images as unseen real images do (by {by}).",
            strength=like.offset_sure,
            measured=measured,
        )
    explained = max(like.cluster_baseline, 1 / (2 - missed.share.high))
    if like.cluster_sure <= explained + APART:
        return None
    return Finding(
        verdict="unlike_the_data",
        sentence=f"{_percent(like.cluster)} of the generated images lie nearer to other generated "
        f"images than to the data, where real images do in {_percent(like.cluster_baseline)}: "
        f"they can be told apart from the data (by {by}).",
        strength=like.cluster_sure,
        measured=measured,
    )


def _words(measured: Measured) -> str:
    return "pixels" if measured.space.is_pixels else measured.space.name.replace("_", " ")


def _percent(share: float) -> str:
    return (
        f"{100 * share:.1f} %"
        if 0.001 <= share <= 0.999 or share in (0, 1)
        else (f"{100 * share:.2g} %")
    )
