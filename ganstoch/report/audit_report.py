"""`report.json` of an audit: what two sets of images say of a generator, typed and versioned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from ganstoch.records import STRICT

__all__ = [
    "AUDIT_SCHEMA",
    "AuditReport",
    "CellShares",
    "Histogram",
    "Pairing",
    "Reading",
    "Role",
    "SetFacts",
    "Share",
    "Twin",
    "Verdict",
]

AUDIT_SCHEMA = 2
"""Version of the report's layout."""

Verdict = Literal[
    "copies", "collapsed", "drops_modes", "unlike_the_data", "undecided", "nothing_found"
]
"""The gravest finding: images leaked; images repeated; data left out; other images; none, but a
number points to one; none."""

Role = Literal["real", "generated", "held_out"]
"""What a set of images is to the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of images in [0, 1], with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One measure.

    Attributes:
        value: of the generated images.
        baseline: the same with held-out real images in their place; None where there are none, or
            where the measure compares with them already.
        low: lower end of the 95 % interval of the value, if one is known.
        high: its upper end.
        p_value: of the hypothesis that there is nothing to see, if it was tested.
        wanted: what a good generator has: a low value, a high one, or one like the baseline's.
        meaning: in one short sentence, for a reader who has not met the measure.
    """

    value: float
    wanted: Literal["low", "high", "baseline"]
    meaning: str
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """An image and its nearest neighbour of another set.

    Attributes:
        name: file name of the image, relative to its set; ``#17`` in an array.
        neighbour: that of its neighbour.
        distance: between them, in the units of the space.
        typical: the median of this distance among held-out images, or None.
    """

    name: str
    neighbour: str
    distance: float
    typical: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A generated image and the training image that it is.

    Attributes:
        generated: name of the one.
        real: of the other.
    """

    generated: str
    real: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellShares:
    """A class or a cluster of the data, and who falls on it.

    Attributes:
        space: the feature space, e.g. "pixel_l1".
        name: the class, or e.g. "cluster 3".
        generated: share of the generated images, in [0, 1].
        real: share of unseen real images.
        short: whether there are too few generated ones for chance.
        example: name of the training image in its middle, or of one of the class.
    """

    space: str
    name: str
    generated: float
    real: float
    short: bool
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts of several series over the same bins.

    Attributes:
        title: what was counted.
        unit: of the edges.
        edges: of the bins, ascending, one more than there are counts.
        counts: of each series by its name in words, e.g. "generated", "held out".
    """

    title: str
    unit: str
    edges: tuple[float, ...]
    counts: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFacts:
    """What a set of images is.

    Attributes:
        where: the folder or file as given, or "array".
        images: how many.
        shape: (channels, height, width).
        different: how many of them are different, pixel for pixel.
        one_colour: how many are of one single colour.
        sha256: of the pixels, in order.
    """

    where: str
    images: int
    different: int
    one_colour: int
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The whole report.

    Attributes:
        verdict: the gravest finding.
        sentence: the verdict for a person, with its number.
        findings: every finding, gravest first, each a sentence with its evidence.
        notes: what could not be measured, and what to keep in mind, each a sentence.
        sets: the sets of images, by role: "real", "generated", "held_out".
        copied_share: share of generated images that are copies; None where it cannot be told.
        missed_share: share of real images that the generator misses; None where it cannot be told.
        metrics: readings by name, e.g. ``overfitting/pixel_l1/mean``.
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
        schema: version of this layout.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    verdict: Verdict
    sentence: str
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    sets: dict[str, SetFacts]
    copied_share: Share | None
    missed_share: Share | None
    metrics: dict[str, Reading]
    identical: tuple[Twin, ...]
    proportions: tuple[CellShares, ...]
    most_copied: tuple[Pairing, ...]
    most_missed: tuple[Pairing, ...]
    missed: tuple[str, ...]
    missed_by_class: dict[str, float]
    histograms: tuple[Histogram, ...]
    settings: dict[str, Any]
    versions: dict[str, str]
    hardware: str
    seconds: float
    peak_memory: int
    schema: int = field(default=AUDIT_SCHEMA)
