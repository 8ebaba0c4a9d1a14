"""What a report lists: images copied and missed, shares by class, distances, and notes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ganstoch.auditing.edited import edits_words, space_of_edits
from ganstoch.auditing.evidence import Evidence, SpaceEvidence
from ganstoch.auditing.findings import Finding, level_of, short_cells, signals
from ganstoch.auditing.inputs import Images, Role
from ganstoch.auditing.report import (
    CellShares,
    CopiedGroup,
    Histogram,
    Pair,
    Share,
    Twin,
    percent,
)
from ganstoch.metrics.copies import CopiedShare

_PAIRS = 12  # of images that a report shows of either kind
_BINS = 40


def audit_lists(
    sets: dict[Role, Images], evidence: Evidence, findings: Sequence[Finding]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame], dict[Role, Tensor]]:
    """Fields of `AuditReport`, each from the space with the strongest evidence.

    Also tables of missed and of generated images, and the ids of those in pairs.
    """
    spaces, real, generated = evidence.spaces, sets["real"], sets["generated"]
    of = {finding.verdict: finding.space for finding in findings if finding.space}
    by_copies = of.get("memorization") or max(spaces, key=lambda s: s.copied.excess.low)
    by_misses = of.get("mode_drop") or max(spaces, key=lambda s: s.coverage.missed.low)
    copied, near = by_copies.copied, by_copies.searches.generated.neighbours
    unseen, edits = by_copies.searches.unseen_distances, [""] * len(generated)
    if (edited := by_copies.edited) is not None:
        near, unseen = edited.neighbours, edited.unseen_distances
        edits = [edited.edits.words(i) for i in range(len(generated))]
    suspects, scale = copied.suspects[:_PAIRS], by_copies.space.scale
    reach = by_misses.searches.pairs.mode_drop.neighbours
    order, ids = by_misses.coverage.order[:_PAIRS], by_misses.coverage.ids
    typical = torch.cat(by_misses.searches.reach_real).sort().values
    shared, missed, excess = evidence.facts.generated, real.names(ids), copied.excess
    twins = (
        images.names(torch.tensor(positions, dtype=torch.int64))
        for images, positions in ((generated, shared.identical), (real, shared.twins))
    )
    fields = {
        "copied_share": Share(estimate=excess.estimate, low=excess.low, high=excess.high),
        "missed_share": by_misses.coverage.missed,
        "most_copied": _pairs(
            generated.names(suspects),
            real.names(near.ids[suspects]),
            near.distances[suspects] / scale,
            unseen.quantile(0.5).item() / scale,
            [edits[i] for i in suspects.tolist()],
        ),
        "most_missed": _pairs(
            real.names(order),
            generated.names(reach.ids[order]),
            reach.distances[order],
            typical[len(typical) // 2].item(),
            [""] * len(order),
        ),
        "missed": missed,
        "missed_by_class": by_misses.coverage.classes,
        "identical": [Twin(generated=one, real=other) for one, other in zip(*twins, strict=True)],
        "copied_groups": list(_copied_groups(real.groups, near.ids[_flagged(copied)])),
        "proportions": [
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
        ],
        "histograms": [histogram for space in spaces for histogram in _histograms(space)],
    }
    tables: dict[str, dict[str, Any]] = {
        "missed": {
            "image": missed,
            "class": [real.labels[i] for i in ids.tolist()] if real.labels else "",
            "nearest_generated": generated.names(reach.ids[ids]),
            "distance": reach.distances[ids].numpy(),
        },
        "generated": {
            "image": generated.names(torch.arange(len(generated))),
            "nearest_real": real.names(near.ids),
            "distance": (near.distances / scale).numpy(),
            "edit": edits,
            "flags": _flags(generated, evidence, by_copies),
        },
    }
    shown: dict[Role, Tensor] = {
        "real": torch.cat([near.ids[suspects], order]),
        "generated": torch.cat([suspects, reach.ids[order]]),
    }
    return fields, {name: pd.DataFrame(table) for name, table in tables.items()}, shown


def _flags(generated: Images, evidence: Evidence, by: SpaceEvidence) -> list[str]:
    facts = evidence.facts.generated
    marks: dict[str, Iterable[int]] = {
        "identical": facts.identical,
        "identical to one that repeats": facts.common,
        "repeats another": facts.repeated,
        "one colour": np.flatnonzero(generated.content.looks["one_colour"]),
        "odd looks": np.flatnonzero(evidence.looks.flagged["generated"]),
        "copy": _flagged(by.copied).tolist(),
        "nearly repeats another": by.repeats.ids.tolist(),
        "far": np.flatnonzero(by.shift.is_far["generated"]),
    }
    flags: list[list[str]] = [[] for _ in range(len(generated))]
    for word, ids in marks.items():
        for i in ids:
            flags[i].append(word)
    return ["; ".join(words) for words in flags]


def _flagged(copied: CopiedShare) -> Tensor:
    return copied.suspects[: copied.excess.count]


def _copied_groups(groups: tuple[str, ...] | None, ids: Tensor) -> Iterator[CopiedGroup]:
    """Groups of the training images that are nearest to copies, most copies first."""
    if groups is None:
        return
    sizes, copies = Counter(groups), Counter(groups[i] for i in ids.tolist())
    copied = Counter(groups[i] for i in set(ids.tolist()))
    for name, count in copies.most_common():
        yield CopiedGroup(name=name, images=sizes[name], copied=copied[name], copies=count)


def _pairs(
    names: Sequence[str],
    neighbours: Sequence[str],
    distances: Tensor,
    typical: float,
    edits: Sequence[str],
) -> list[Pair]:
    return [
        Pair(name=name, neighbour=neighbour, distance=distance, typical=typical, edit=edit)
        for name, neighbour, distance, edit in zip(
            names, neighbours, distances.tolist(), edits, strict=True
        )
    ]


def _histograms(evidence: SpaceEvidence) -> Iterator[Histogram]:
    searches, space = evidence.searches, evidence.space
    unseen, place = "real, among each other", "to other real images"
    if space.held_out is not None:
        unseen, place = "held out", "to held-out images"
    series = {
        f"From images to their nearest training image ({space.name})": {
            "generated": searches.pairs.overfitting.neighbours.distances,
            unseen: searches.unseen_distances / space.scale,
        },
        f"From training images to the nearest of {searches.size:,} others ({space.name})": {
            "to generated images": searches.reach_generated[0],
            place: searches.reach_real[0],
        },
    }
    for title, distances in series.items():
        top = max(float(each.max()) for each in distances.values())
        edges = np.linspace(0.0, top or 1.0, _BINS + 1)
        counts = {
            name: np.histogram(each.numpy(), edges)[0].tolist() for name, each in distances.items()
        }
        yield Histogram(title=title, unit=space.unit, edges=edges.tolist(), counts=counts)


def audit_notes(evidence: Evidence, findings: Sequence[Finding]) -> Iterator[str]:
    """What to keep in mind."""
    facts, spaces, shared = evidence.facts, evidence.spaces, evidence.facts.generated
    same = "generated images are, pixel for pixel, real images that"
    for role, counts in facts.sets.items():
        where = f"{counts.where} ({role.replace('_', ' ')})"
        if counts.different < counts.images:
            yield f"{where}: {counts.images:,} images, {counts.different:,} different."
        if counts.one_colour:
            yield f"{where}: {counts.one_colour:,} images of one single colour."
    if facts.times > 1:
        often = f"{facts.times} times or a multiple of it"
        yield f"Every real image occurs {often}; as often as all do, it counts once."
    if shared.common:
        identical = f"{len(shared.common):,} {same} repeat among the real ones"
        yield f"{identical}: no evidence of copying by itself."
    if shared.identical and not findings:
        yield f"{len(shared.identical):,} {same} do not repeat; see their list."
    if findings and findings[0].verdict != "memorization":  # of which copies explain most
        yield from (f"Also: {signal.clause}." for signal in signals(evidence))
    for each in spaces:
        yield edits_words(space_of_edits(each.space.name, searched=each.edited is not None))
        name, searched = each.space.name, len(each.searches.from_ids)
        if each.shift.interval[0] > 1.0:
            lie = f"generated images lie {each.shift.median_ratio:.2f} times as far from the data"
            yield f"By {name} {lie} as unseen real ones; that much is not counted as missing."
        if searched < len(each.space.real):
            measured = f"mode drop was measured from {searched:,} of the training images"
            yield f"By {name} {measured}; the others stood in for held-out ones."


def approximation_words(recalls: Sequence[float]) -> str:
    """A sentence on approximate searches, from the recall of each."""
    if not recalls:
        return "No search was large enough to be approximated: all neighbours are exact."
    mean, least = percent(sum(recalls) / len(recalls)), percent(min(recalls))
    return (
        f"Neighbours are approximate: of the nearest of sampled images {mean} were found, and "
        f"{least} in the worst of {len(recalls)} searches. Distances are exact."
    )
