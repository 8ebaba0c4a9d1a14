"""What a report lists: images copied and missed, shares by class, distances, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ganstoch.auditing.evidence import Evidence, SpaceEvidence
from ganstoch.auditing.findings import Finding, level_of, short_cells
from ganstoch.auditing.inputs import Images, Role
from ganstoch.auditing.report import CellShares, Histogram, Pair, Share, Twin
from ganstoch.auditing.verdict import signals

__all__ = ["Lists", "audit_lists", "histograms", "notes_of"]

_PAIRS = 12
"""Pairs of images that a report shows of either kind."""

_BINS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Lists of a report.

    Attributes:
        fields: of `AuditReport`, by name.
        missed: a row for each missed image.
        generated: a row for each generated image, with its flags.
        shown_real: ids of real images in the pairs.
        shown_generated: of generated ones.
    """

    fields: dict[str, Any]
    missed: pd.DataFrame
    generated: pd.DataFrame
    shown_real: tuple[int, ...]
    shown_generated: tuple[int, ...]


def audit_lists(sets: dict[Role, Images], evidence: Evidence, findings: Sequence[Finding]) -> Lists:
    """Makes the lists, each from the space with the strongest evidence."""
    spaces = evidence.spaces
    of = {finding.verdict: finding.space for finding in findings if finding.space}
    by_copies = of.get("memorization") or max(spaces, key=lambda s: s.copied.excess.low)
    by_misses = of.get("mode_drop") or max(spaces, key=lambda s: s.coverage.missed.low)
    real, generated = sets["real"], sets["generated"]

    copied, near = by_copies.copied, by_copies.searches.generated.neighbours
    suspects, scale = copied.suspects[:_PAIRS], by_copies.space.scale
    usual = by_copies.searches.unseen_distances.quantile(0.5).item() / scale
    reach = by_misses.searches.pairs.mode_drop.neighbours
    order, ids = by_misses.coverage.order[:_PAIRS], by_misses.coverage.ids
    typical = torch.cat(by_misses.searches.reach_real).sort().values
    names = real.names(ids)
    shared = evidence.facts.generated
    fields = {
        "copied_share": Share(
            estimate=copied.excess.estimate, low=copied.excess.low, high=copied.excess.high
        ),
        "missed_share": by_misses.coverage.missed,
        "most_copied": _pairs(
            generated.names(suspects),
            real.names(near.ids[suspects]),
            near.distances[suspects] / scale,
            typical=usual,
        ),
        "most_missed": _pairs(
            real.names(order),
            generated.names(reach.ids[order]),
            reach.distances[order],
            typical=typical[len(typical) // 2].item(),
        ),
        "missed": names,
        "missed_by_class": by_misses.coverage.classes,
        "identical": tuple(
            Twin(generated=one, real=other)
            for one, other in zip(
                generated.names(torch.tensor(shared.identical, dtype=torch.int64)),
                real.names(torch.tensor(shared.twins, dtype=torch.int64)),
                strict=True,
            )
        ),
        "proportions": tuple(
            CellShares(
                space=space.space.name,
                name=cell.name,
                generated=cell.generated,
                real=cell.real,
                short=cell in short,
                example=real.names(torch.tensor([cell.example]))[0],
            )
            for space in spaces
            for counts in space.proportions
            for short in [short_cells(counts, level_of(evidence))]
            for cell in counts.cells
        ),
    }
    classes = [""] * len(ids) if real.labels is None else [real.labels[i] for i in ids.tolist()]
    missed = {
        "image": names,
        "class": classes,
        "nearest_generated": generated.names(reach.ids[ids]),
        "distance": reach.distances[ids].tolist(),
    }
    return Lists(
        fields=fields,
        missed=pd.DataFrame(missed),
        generated=_flagged(generated, real, evidence, by_copies),
        shown_real=(*near.ids[suspects].tolist(), *order.tolist()),
        shown_generated=(*suspects.tolist(), *reach.ids[order].tolist()),
    )


def _flagged(
    generated: Images, real: Images, evidence: Evidence, by: SpaceEvidence
) -> pd.DataFrame:
    """Every generated image with its nearest training image and its flags."""
    facts, near = evidence.facts.generated, by.searches.generated.neighbours
    flags: list[list[str]] = [[] for _ in range(len(generated))]
    marks = {
        "identical": facts.identical,
        "identical to one that repeats": facts.common,
        "repeats another": facts.repeated,
        "one colour": generated.looks().one_colour.nonzero()[0].tolist(),
        "odd looks": evidence.looks.flagged.nonzero()[0].tolist(),
        "copy": by.copied.suspects[: by.copied.excess.count].tolist(),
        "nearly repeats another": by.repeats.ids.tolist(),
        "far": by.shift.is_far.nonzero()[:, 0].tolist(),
    }
    for word, ids in marks.items():
        for i in ids:
            flags[i].append(word)
    return pd.DataFrame(
        {
            "image": generated.names(torch.arange(len(generated))),
            "nearest_real": real.names(near.ids),
            "distance": (near.distances / by.space.scale).tolist(),
            "flags": list(map("; ".join, flags)),
        }
    )


def _pairs(
    names: Sequence[str], neighbours: Sequence[str], distances: Tensor, *, typical: float
) -> tuple[Pair, ...]:
    return tuple(
        Pair(name=name, neighbour=neighbour, distance=distance, typical=typical)
        for name, neighbour, distance in zip(names, neighbours, distances.tolist(), strict=True)
    )


def histograms(evidence: SpaceEvidence) -> tuple[Histogram, ...]:
    """Distances both ways, each beside those of real images in the generator's place."""
    searches, space = evidence.searches, evidence.space
    with_held_out = space.held_out is not None
    unseen = "held out" if with_held_out else "real, among each other"
    place = "to held-out images" if with_held_out else "to other real images"
    return (
        _histogram(
            f"From images to their nearest training image ({space.name})",
            space.unit,
            {
                "generated": searches.pairs.overfitting.neighbours.distances,
                unseen: searches.unseen_distances / space.scale,
            },
        ),
        _histogram(
            f"From training images to the nearest of {searches.size:,} others ({space.name})",
            space.unit,
            {
                "to generated images": searches.reach_generated[0],
                place: searches.reach_real[0],
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
    sets: dict[Role, Images], evidence: Evidence, findings: Sequence[Finding], *, recovery: bool
) -> tuple[str, ...]:
    """What could not be measured, and what to keep in mind."""
    notes, facts, spaces = [], evidence.facts, evidence.spaces
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
    if findings and findings[0].verdict != "memorization":  # of which copies explain most
        notes += [f"Also: {signal}." for signal in signals(evidence)]
    if "held_out" not in sets:
        notes.append(
            "No held-out images were given: training images compared with each other stand in for "
            "them, and the tests that need them (nearer_to_train, C_T) were not made."
        )
        if recovery:
            notes.append("Latent recovery compares with held-out images, and was not made.")
    if all(each.space.is_pixels for each in spaces):
        notes.append(
            "Measured in pixels alone: a copy that was mirrored, shifted or cropped is none there, "
            "and in photographs pixels hardly show which kinds of things are left out; --features "
            "efficientnet_lite0 or inception sees more."
        )
    for each in spaces:
        name, searched = each.space.name, len(each.searches.from_ids)
        if each.shift.low > 1.0:
            notes.append(
                f"By {name} generated images lie {each.shift.median_ratio:.2f} times as far from "
                "the data as unseen real ones; that much is not counted as missing."
            )
        if searched < len(each.space.real):
            notes.append(
                f"By {name} mode drop was measured from {searched:,} of the training images; the "
                "others stood in for held-out ones."
            )
    return tuple(notes)
