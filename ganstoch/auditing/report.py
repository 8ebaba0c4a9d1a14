"""The report of an audit: one pydantic model, from which terminal, JSON and page are made."""

import hashlib
import json
import math
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Verdict = Literal[
    "memorization", "mode_collapse", "mode_drop", "distribution_shift", "undecided", "no_issue"
]
Target = Literal["low", "high", "baseline"]
Outcome = Literal["passed", "failed", "inconclusive"]
PROTOCOL = "ganstoch-audit/2"  # changes whenever the same sets may get other numbers or verdicts
_Part = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]
_MINUS = "\N{MINUS SIGN}"
_PERCENT = "\N{NO-BREAK SPACE}%"
_ROUNDING = 1e-9  # by which the formula of an interval may miss an end
_EXACT = 1e15  # above it a float does not hold every whole number


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Share(_Model):
    """A share of images in [0, 1], with its 95 % interval, whose ends may be off by rounding."""

    estimate: float
    low: float
    high: float

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        rising = (0.0, self.low, self.estimate, self.high, 1.0)
        if any(left > right + _ROUNDING for left, right in pairwise(rising)):
            raise ValueError("must be 0 <= low <= estimate <= high <= 1")
        return self


MEASURE_GROUPS = {
    "copies": "Whether generated images are training images again, or nearly.",
    "membership": "Whether generated images give away which images were trained on.",
    "coverage": "Whether all kinds of training images are generated, in the same proportions.",
    "diversity": "How many different images there are, and whether they repeat each other.",
    "fidelity": "Whether generated images look like the data.",
}
MeasureGroup = Literal["copies", "membership", "coverage", "diversity", "fidelity"]
_KEYS: dict[MeasureGroup, str] = {
    "copies": "overfitting copied copied_with_edits replication authpct train_vs_held_out ct "
    "cosine mifid fld/gap memorized_fraction l2_memorization recovery",
    "membership": "membership",
    "coverage": "mode_drop missed classes clusters prdc/recall prdc/coverage",
    "diversity": "repeated two_sample_1nn birthday vendi",
}
_GROUP_OF = {key: group for group, keys in _KEYS.items() for key in keys.split()}


def measure_group(key: str) -> MeasureGroup:
    """The group of a measure by its key, with or without a space: ``prdc/pixel_l1/recall``."""
    first, *rest = key.replace("_thinned", "").split("/")
    return _GROUP_OF.get("/".join([first, *rest[-1:]])) or _GROUP_OF.get(first, "fidelity")


class Measure(_Model):
    """One number of an audit."""

    value: float
    target: Target  # what a good generator has
    meaning: str  # in one short sentence
    baseline: float | None = None  # of unseen real images in the generated ones' place
    low: float | None = None  # the 95 % interval of the value
    high: float | None = None
    p_value: _Part | None = None  # that nothing is wrong
    group: MeasureGroup | None = None  # None in reports of older versions

    @model_validator(mode="after")
    def _check_interval(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high come together")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is above high")
        return self


class Pair(_Model):
    """An image and its nearest neighbour of another set, by file name or ``#17`` in an array."""

    name: str
    neighbour: str
    distance: float  # in the units of the space
    typical: float | None = None  # its median among unseen real images
    edit: str = ""  # under which it is so near, e.g. "mirrored, shifted by 2 px"; "" for none


class Twin(_Model):
    """Names of a generated image and of the training image that it equals, pixel for pixel."""

    generated: str
    real: str


class CellShares(_Model):
    """A class or a cluster ("cluster 3") of the data, and the shares of images that fall on it."""

    space: str
    name: str
    generated: _Part
    real: _Part  # unseen ones
    short: bool  # too few generated ones for chance
    example: str  # name of the training image in its middle, or of one of the class


class CopiedGroup(_Model):
    """A group of training images, of one person or source, that generated images copy."""

    name: str
    images: _Count  # of the group in the training set
    copied: _Count  # of these, the nearest of a copy
    copies: _Count  # generated images that are flagged as copies of one of them


class Histogram(_Model):
    """Counts of several series, by their name in words, over the same bins."""

    title: str
    unit: str
    edges: tuple[float, ...]  # ascending, one more than there are counts
    counts: dict[str, tuple[_Count, ...]]


class Check(_Model):
    """A condition of a release, and whether it holds."""

    name: str  # e.g. "max_copied" or "fail_on=memorization"
    outcome: Outcome
    sentence: str  # the reason, with its numbers


class NotChecked(_Model):
    """Something that this audit could not or was not asked to look at."""

    name: str
    reason: str  # a sentence
    fix: str = ""  # what would make it, a sentence; "" where nothing does


class Change(_Model):
    """A number or a setting that differs between two reports; None where one has none."""

    name: str
    then: float | str | None
    now: float | str | None


class Comparison(_Model):
    """What differs from an earlier report."""

    protocol: str  # of the earlier one; numbers of another protocol are not compared
    verdict: str  # of the earlier one
    sets: tuple[Change, ...]  # sizes and digests of the images
    settings: tuple[Change, ...]
    metrics: tuple[Change, ...]
    same: _Count  # measures that are equal


class SetFacts(_Model):
    """What a set of images is."""

    where: str  # the folder or file as given, or e.g. "real array"
    images: _Count
    different: _Count  # pixel for pixel
    one_colour: _Count  # of one single colour
    shape: tuple[int, ...]  # (channels, height, width)
    sha256: str  # of the pixels, in order


class AuditReport(_Model):
    """The whole report: ``model_validate(json.loads(text))`` reads ``report.json`` back."""

    verdict: Verdict
    sentence: str  # the verdict for a person, with its number
    findings: tuple[str, ...]  # gravest first, each a sentence with its evidence
    verdicts: tuple[Verdict, ...]  # of the findings
    checks: tuple[Check, ...]  # of the release gate, if conditions were given
    not_checked: tuple[NotChecked, ...]
    against: Comparison | None  # with an earlier report, if one was given
    notes: tuple[str, ...]  # what to keep in mind
    sets: dict[Literal["real", "generated", "held_out"], SetFacts]
    copied_share: Share | None  # of the generated images
    missed_share: Share | None  # of the real images
    metrics: dict[str, Measure]  # by name, e.g. overfitting/pixel_l1/mean
    identical: tuple[Twin, ...]  # with training images which do not repeat
    copied_groups: tuple[CopiedGroup, ...] = ()  # most copies first, where groups are given
    proportions: tuple[CellShares, ...]
    most_copied: tuple[Pair, ...]  # generated with real, the most suspicious first
    most_missed: tuple[Pair, ...]  # real with generated, the most missed first
    missed: tuple[str, ...]  # names of all missed real images, the most missed first
    missed_by_class: dict[str, _Part]  # share of each class's images; empty without classes
    histograms: tuple[Histogram, ...]
    settings: dict[str, Any]  # everything that decides the numbers
    settings_sha256: str
    command: str | None  # that repeats the audit, if it was made by one
    versions: dict[str, str]
    hardware: str
    seconds: float
    peak_memory: _Count  # bytes
    protocol: str = PROTOCOL
    schema_version: Literal[4] = Field(default=4, alias="schema")

    def to_json(self) -> str:
        """The content of report.json; a ValueError for settings that are not finite."""
        return json.dumps(self.model_dump(by_alias=True), indent=1, allow_nan=False) + "\n"


def settings_sha256(settings: dict[str, Any]) -> str:
    """Sha256 of a report's settings, hexadecimal."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def fixed(*values: float | None) -> list[str]:
    """Numbers with four digits for the largest: ``31.21``, ``12,800``, ``1.2e-05``; None is ""."""
    sizes = [abs(value) for value in values if value]
    largest = max(sizes, default=0.0)
    if all(size < _EXACT and float(size).is_integer() for size in sizes):
        spec = ",.0f"
    elif largest < 0.01:
        spec = ".3g"
    else:
        spec = f",.{min(max(3 - math.floor(math.log10(largest)), 0), 3)}f"
    # By "z" nothing is below zero that rounds to it.
    texts = ["" if value is None else f"{value:z{spec}}" for value in values]
    return [f"{_MINUS}{text[1:]}" if text.startswith("-") else text for text in texts]


def percent(share: float) -> str:
    """A share of a whole: ``10.2 %``, ``0.31 %``; never a 0 or 100 that was only rounded to it."""
    value = 100 * share
    if 0 < value < 0.001:
        text = "<0.001"
    elif 99.95 <= value < 100:
        text = ">99.9"
    else:
        places = 0 if value in (0, 100) else 3 if value < 0.1 else 2 if value < 1 else 1
        text = f"{value:.{places}f}"
    return f"{text}{_PERCENT}"


def percent_range(low: float, high: float) -> str:
    """An interval of shares, with one per cent sign: ``9.7-10.7 %``."""
    return f"{percent(low).removesuffix(_PERCENT)}\N{EN DASH}{percent(high)}"


def p_words(p_value: float | None) -> str:
    """A p-value: ``0.031``, ``< 0.0001``; "" for None."""
    if p_value is None:
        return ""
    if p_value < 1e-4:
        return "<\N{NO-BREAK SPACE}0.0001"
    return f"{p_value:.{4 if p_value < 0.01 else 3 if p_value < 0.1 else 2}f}"


def measure_cells(measure: Measure) -> list[str]:
    """Value, baseline, 95 % interval and p-value, as the terminal and the page show them."""
    value, baseline, low, high = fixed(measure.value, measure.baseline, measure.low, measure.high)
    between = " to " if _MINUS in low + high else "\N{EN DASH}"
    return [value, baseline, f"{low}{between}{high}" if low else "", p_words(measure.p_value)]
