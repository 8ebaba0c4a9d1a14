"""The report of an audit: one pydantic model, from which terminal, JSON and page are made."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ganstoch.errors import UserError
from ganstoch.records import read_json

__all__ = [
    "FORMER_VERDICTS",
    "AuditReport",
    "CellShares",
    "Histogram",
    "Measure",
    "Pair",
    "SetFacts",
    "Share",
    "Twin",
    "Verdict",
    "is_report",
    "read_report",
]

Verdict = Literal[
    "memorization", "mode_collapse", "mode_drop", "distribution_shift", "undecided", "no_issue"
]
"""The gravest finding: training images are copied; generated images repeat; data are left out;
images are of another kind; none of these, but a number points to one; none."""

FORMER_VERDICTS = {
    "copies": "memorization",
    "collapsed": "mode_collapse",
    "drops_modes": "mode_drop",
    "unlike_the_data": "distribution_shift",
    "nothing_found": "no_issue",
}
"""Names that ganstoch 0.5.0 gave, with today's."""

_FORMER_MEASURES = {"offset": "median_ratio", "cluster": "two_sample_1nn"}

_FIX = "run the audit again to replace it"

_ROUNDING = 1e-9
"""By which the formula of an interval may miss 0 or 1."""

_Part = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Share(_Model):
    """A share of images in [0, 1], with its 95 % interval."""

    estimate: float
    low: float
    high: float

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        rising = (0.0, self.low, self.estimate, self.high, 1.0)
        if any(left > right + _ROUNDING for left, right in pairwise(rising)):
            raise ValueError("must be 0 <= low <= estimate <= high <= 1")
        return self


class Measure(_Model):
    """One number of an audit.

    Attributes:
        value: of the generated images.
        target: what a good generator has: a low value, a high one, or one like the baseline's.
        meaning: in one short sentence, for a reader who has not met the measure.
        baseline: the same with unseen real images in the generated ones' place; None without.
        low, high: the 95 % interval of the value, if one is known.
        p_value: of the hypothesis that nothing is wrong, if it was tested.
    """

    value: float
    target: Literal["low", "high", "baseline"]
    meaning: str
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: _Part | None = None

    @model_validator(mode="after")
    def _check_interval(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high come together")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is above high")
        return self


class Pair(_Model):
    """An image and its nearest neighbour of another set, by file name or ``#17`` in an array.

    Attributes:
        distance: between them, in the units of the space.
        typical: the median of this distance among unseen real images, or None.
    """

    name: str
    neighbour: str
    distance: float
    typical: float | None = None


class Twin(_Model):
    """Names of a generated image and of the training image that it equals, pixel for pixel."""

    generated: str
    real: str


class CellShares(_Model):
    """A class or a cluster ("cluster 3") of the data, and the share of images that fall on it.

    Attributes:
        generated: share of the generated images.
        real: share of unseen real images.
        short: whether there are too few generated ones for chance.
        example: name of the training image in its middle, or of one of the class.
    """

    space: str
    name: str
    generated: _Part
    real: _Part
    short: bool
    example: str


class Histogram(_Model):
    """Counts of several series over the same bins.

    Attributes:
        unit: of the edges.
        edges: of the bins, ascending, one more than there are counts.
        counts: of each series by its name in words, e.g. "generated", "held out".
    """

    title: str
    unit: str
    edges: Annotated[tuple[float, ...], Field(min_length=2)]
    counts: dict[str, tuple[_Count, ...]]

    @model_validator(mode="after")
    def _check_bins(self) -> Self:
        if any(left >= right for left, right in pairwise(self.edges)):
            raise ValueError("edges must ascend")
        if any(len(counts) != len(self.edges) - 1 for counts in self.counts.values()):
            raise ValueError("counts must be one fewer than edges")
        return self


class SetFacts(_Model):
    """What a set of images is.

    Attributes:
        where: the folder or file as given, or e.g. "real array".
        different: how many of the images are different, pixel for pixel.
        one_colour: how many are of one single colour.
        shape: (channels, height, width).
        sha256: of the pixels, in order.
    """

    where: str
    images: _Count
    different: _Count
    one_colour: _Count
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    sha256: str

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if max(self.different, self.one_colour) > self.images:
            raise ValueError(f"of {self.images} images no more can be different or of one colour")
        return self


class AuditReport(_Model):
    """The whole report. ``AuditReport.model_json_schema()`` is its JSON schema.

    Attributes:
        verdict: the gravest finding.
        sentence: the verdict for a person, with its number.
        findings: every finding, gravest first, each a sentence with its evidence.
        notes: what could not be measured, and what to keep in mind, each a sentence.
        sets: the sets of images, by role.
        copied_share: share of generated images that are copies; None where it cannot be told.
        missed_share: share of real images that the generator misses; None where it cannot be told.
        metrics: measures by name, e.g. ``overfitting/pixel_l1/mean``.
        identical: generated images that are, pixel for pixel, training images which do not repeat,
            with these.
        proportions: shares of generated and of unseen real images by class and by cluster.
        most_copied: generated images with their nearest real one, the most suspicious first.
        most_missed: real images with their nearest generated one, the most missed first.
        missed: names of all real images that the generator misses, the most missed first.
        missed_by_class: share of each class's images that are missed; empty without classes.
        histograms: of distances.
        settings: everything that decides the numbers.
        versions: packages that decide numbers, with their versions.
        hardware: what it ran on, in words.
        seconds: wall time.
        peak_memory: most bytes resident while it ran.
        schema_version: version of this layout, ``schema`` in the file.
    """

    verdict: Verdict
    sentence: str
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    sets: dict[Literal["real", "generated", "held_out"], SetFacts]
    copied_share: Share | None
    missed_share: Share | None
    metrics: dict[str, Measure]
    identical: tuple[Twin, ...]
    proportions: tuple[CellShares, ...]
    most_copied: tuple[Pair, ...]
    most_missed: tuple[Pair, ...]
    missed: tuple[str, ...]
    missed_by_class: dict[str, _Part]
    histograms: tuple[Histogram, ...]
    settings: dict[str, Any]
    versions: dict[str, str]
    hardware: str
    seconds: Annotated[float, Field(ge=0)]
    peak_memory: _Count
    schema_version: Literal[3] = Field(default=3, alias="schema")

    @model_validator(mode="after")
    def _check_sets(self) -> Self:
        if missing := {"real", "generated"} - set(self.sets):
            raise ValueError(f"sets: {min(missing)} is missing")
        return self

    def to_json(self) -> str:
        """The content of report.json; a ValueError for settings that are not finite."""
        return json.dumps(self.model_dump(by_alias=True), indent=1, allow_nan=False) + "\n"


def read_report(path: Path) -> AuditReport:
    """Reads a report back, those of ganstoch 0.5.0 too, checking every field.

    Raises:
        UserError: if the file is missing, no JSON, of another schema, or has a wrong field.
    """
    content = read_json(path, fix=_FIX)
    if not isinstance(content, dict):
        raise UserError(f"{path} is no report of an audit; {_FIX}")
    try:
        return AuditReport.model_validate(_converted(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {key}: {first['msg']}; {_FIX}") from error


def is_report(path: Path) -> bool:
    """Whether a file is a report of an audit, of this version's layout or of another."""
    try:
        content = read_json(path, fix=_FIX)
    except UserError:
        return False
    return isinstance(content, dict) and {"schema", "verdict", "copied_share"} <= content.keys()


def _converted(content: dict[str, Any]) -> dict[str, Any]:
    """A report of ganstoch 0.5.0 in today's words; any other as it is."""
    verdict, metrics = content.get("verdict"), content.get("metrics")
    if content.get("schema") != 2 or not isinstance(metrics, dict):
        return content
    measures = {}
    for name, measure in metrics.items():
        first, slash, rest = name.partition("/")
        if isinstance(measure, dict):
            measure = {{"wanted": "target"}.get(k, k): v for k, v in measure.items()}
        measures[_FORMER_MEASURES.get(first, first) + slash + rest] = measure
    named = FORMER_VERDICTS.get(str(verdict), verdict)
    return content | {"schema": 3, "verdict": named, "metrics": measures}
