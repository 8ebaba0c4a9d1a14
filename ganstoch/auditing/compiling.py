"""From measures to a report's lists: what was copied, what is missed, how distances are spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.findings import Finding, level_of, short_cells
from ganstoch.auditing.inputs import Images, Role
from ganstoch.auditing.measure import Measured
from ganstoch.auditing.output import GeneratedRow, MissedRow
from ganstoch.auditing.verdict import signals
from ganstoch.report.audit_report import CellShares, Histogram, Pairing, Share, Twin

__all__ = ["Lists", "compile_lists", "histograms", "notes_of"]

PAIRS = 12
"""Pairs of images that a report shows of either kind."""

_BINS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What a report lists; see `AuditReport`.

    Attributes:
        copied_share: in the space where copies show most.
        missed_share: in the space where misses show most.
        most_copied: pairs.
        most_missed: pairs.
        missed: all missed images.
        missed_by_class: shares by class.
        generated: all generated images, with what each was flagged as.
        identical: generated images that are training images.
        proportions: shares by class and cluster.
        shown_real: ids of real images in the pairs.
        shown_generated: of generated ones.
    """

    copied_share: Share
    missed_share: Share
    most_copied: tuple[Pairing, ...]
    most_missed: tuple[Pairing, ...]
    missed: tuple[MissedRow, ...]
    missed_by_class: dict[str, float]
    generated: tuple[GeneratedRow, ...]
    identical: tuple[Twin, ...]
    proportions: tuple[CellShares, ...]
    shown_real: tuple[int, ...]
    shown_generated: tuple[int, ...]


def compile_lists(
    sets: dict[Role, Images], evidence: Evidence, findings: Sequence[Finding]
) -> Lists:
    """Makes the lists, each from the space with the strongest evidence."""
    measured = evidence.spaces
    of = {finding.verdict: finding.measured for finding in findings if finding.measured}
    by_copies = of.get("copies") or max(measured, key=lambda m: m.copied.low)
    by_misses = of.get("drops_modes") or max(measured, key=lambda m: m.missed.share.low)
    real, generated = sets["real"], sets["generated"]

    near = by_copies.searches.generated.neighbours
    suspects = by_copies.copied.suspects[:PAIRS]
    usual = by_copies.searches.unseen_distances.quantile(0.5).item() / by_copies.space.scale
    most_copied = _pairings(
        generated.names(suspects),
        real.names(near.ids[suspects]),
        near.distances[suspects] / by_copies.space.scale,
        typical=usual,
    )
    reach, scale = by_misses.searches.to_generated, by_misses.space.scale
    order = by_misses.missed.order[:PAIRS]
    typical = torch.cat(by_misses.searches.reach_real).sort().values
    most_missed = _pairings(
        real.names(order),
        generated.names(reach.ids[order]),
        reach.distances[order] / scale,
        typical=typical[len(typical) // 2].item() / scale,
    )
    ids = by_misses.missed.ids
    labels = real.labels
    copied = by_copies.copied
    return Lists(
        copied_share=Share(estimate=copied.estimate, low=copied.low, high=copied.high),
        missed_share=by_misses.missed.share,
        most_copied=most_copied,
        most_missed=most_missed,
        missed=tuple(
            (name, "" if labels is None else labels[i], nearest, distance)
            for i, name, nearest, distance in zip(
                ids.tolist(),
                real.names(ids),
                generated.names(reach.ids[ids]),
                (reach.distances[ids] / scale).tolist(),
                strict=True,
            )
        ),
        missed_by_class=by_misses.missed.classes,
        generated=_flagged(generated, real, evidence, by_copies),
        identical=_twins(generated, real, evidence),
        proportions=tuple(
            CellShares(
                space=m.space.name,
                name=cell.name,
                generated=cell.generated,
                real=cell.real,
                short=cell in short,
                example=real.names(torch.tensor([cell.example]))[0],
            )
            for m in measured
            for counts in m.proportions
            for short in [short_cells(counts, level_of(evidence))]
            for cell in counts.cells
        ),
        shown_real=(*near.ids[suspects].tolist(), *order.tolist()),
        shown_generated=(*suspects.tolist(), *reach.ids[order].tolist()),
    )


def _twins(generated: Images, real: Images, evidence: Evidence) -> tuple[Twin, ...]:
    found = evidence.facts.generated
    names = zip(
        generated.names(torch.tensor(found.identical, dtype=torch.int64)),
        real.names(torch.tensor(found.twins, dtype=torch.int64)),
        strict=True,
    )
    return tuple(Twin(generated=one, real=other) for one, other in names)


def _flagged(
    generated: Images, real: Images, evidence: Evidence, by: Measured
) -> tuple[GeneratedRow, ...]:
    """Every generated image with its nearest training image and its flags."""
    facts, near = evidence.facts.generated, by.searches.generated.neighbours
    flags: list[list[str]] = [[] for _ in range(len(generated))]
    marks = {
        "identical": facts.identical,
        "identical to one that repeats": facts.common,
        "repeats another": facts.repeated,
        "one colour": generated.looks().one_colour.nonzero()[0].tolist(),
        "odd looks": evidence.looks.flagged.nonzero()[0].tolist(),
        "copy": by.copied.suspects[: by.copied.flagged].tolist(),
        "nearly repeats another": by.repeated.ids.tolist(),
        "far": by.distance.is_far.nonzero()[:, 0].tolist(),
    }
    for word, ids in marks.items():
        for i in ids:
            flags[i].append(word)
    everyone = torch.arange(len(generated))
    return tuple(
        (name, neighbour, distance, "; ".join(words))
        for name, neighbour, distance, words in zip(
            generated.names(everyone),
            real.names(near.ids),
            (near.distances / by.space.scale).tolist(),
            flags,
            strict=True,
        )
    )


def _pairings(
    names: Sequence[str], neighbours: Sequence[str], distances: Tensor, *, typical: float
) -> tuple[Pairing, ...]:
    return tuple(
        Pairing(name=name, neighbour=neighbour, distance=distance, typical=typical)
        for name, neighbour, distance in zip(names, neighbours, distances.tolist(), strict=True)
    )


def histograms(measured: Measured) -> tuple[Histogram, ...]:
    """Distances both ways, each beside those of real images in the generator's place."""
    searches, space = measured.searches, measured.space
    unseen = "held out" if space.held_out is not None else "real, asked of each other"
    place = "to held-out images" if space.held_out is not None else "to other real images"
    return (
        _histogram(
            f"From images to their nearest training image ({space.name})",
            space.unit,
            {
                "generated": searches.generated.neighbours.distances / space.scale,
                unseen: searches.unseen_distances / space.scale,
            },
        ),
        _histogram(
            f"From training images to the nearest of {searches.size:,} others ({space.name})",
            space.unit,
            {
                "to generated images": searches.reach_generated[0] / space.scale,
                place: searches.reach_real[0] / space.scale,
            },
        ),
    )


def _histogram(title: str, unit: str, series: dict[str, Tensor]) -> Histogram:
    top = max(float(distances.max()) for distances in series.values())
    edges = np.linspace(0.0, top or 1.0, _BINS + 1)
    return Histogram(
        title=title,
        unit=unit,
        edges=tuple(edges.tolist()),
        counts={
            name: tuple(np.histogram(distances.numpy(), edges)[0].tolist())
            for name, distances in series.items()
        },
    )


def notes_of(
    sets: dict[Role, Images],
    evidence: Evidence,
    findings: Sequence[Finding],
    *,
    sought: bool,
) -> tuple[str, ...]:
    """What could not be measured, and what to keep in mind."""
    notes, facts, measured = [], evidence.facts, evidence.spaces
    for role, counts in facts.sets.items():
        where = f"{sets[role].where} ({role.replace('_', ' ')})"
        if counts.different < counts.images:
            notes.append(f"{where}: {counts.images:,} images, {counts.different:,} different.")
        if counts.one_colour:
            notes.append(f"{where}: {counts.one_colour:,} images of one single colour.")
    if facts.times > 1:
        notes.append(
            f"Every real image occurs {facts.times} times or a multiple of it; as often as all do, "
            "it counts once."
        )
    if facts.generated.common:
        notes.append(
            f"{len(facts.generated.common):,} generated images are, pixel for pixel, real images "
            "that repeat among the real ones: no evidence of copying by itself."
        )
    if facts.generated.identical and not findings:
        notes.append(
            f"{len(facts.generated.identical):,} generated images are, pixel for pixel, real "
            "images that do not repeat; see their list."
        )
    if findings and findings[0].verdict != "copies":  # of which copies explain most
        notes += [f"Also: {signal}." for signal in signals(evidence)]
    if "held_out" not in sets:
        notes.append(
            "No held-out images were given: training images asked of each other stand in for them, "
            "and the tests that need them (nearer_to_train, C_T) were not made."
        )
        if sought:
            notes.append("Latent recovery compares with held-out images, and was not made.")
    if all(m.space.is_pixels for m in measured):
        notes.append(
            "Measured in pixels alone: a copy that was mirrored, shifted or cropped is none there, "
            "and in photographs pixels hardly show which kinds of things are left out; --features "
            "efficientnet_lite0 or inception sees more."
        )
    for m in measured:
        if m.distance.low > 1.0:
            notes.append(
                f"By {m.space.name} generated images lie {m.distance.offset:.2f} times as far from "
                "the data as unseen real ones; that much is not counted as missing."
            )
        if len(m.searches.asked) < len(m.space.real):
            notes.append(
                f"By {m.space.name} {len(m.searches.asked):,} of the training images were asked "
                "whether they are missed; the others stood in for held-out ones."
            )
    return tuple(notes)
