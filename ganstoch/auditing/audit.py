"""The audit: two sets of images, or three, into a report with a verdict."""

import logging
import resource
import sys
import time
from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganstoch.auditing.comparison import compare, read_earlier
from ganstoch.auditing.evidence import LEAST, MOST, gather
from ganstoch.auditing.findings import find, verdict
from ganstoch.auditing.gate import Gate
from ganstoch.auditing.groups import Grouping
from ganstoch.auditing.inputs import (
    Embeddings,
    EmbeddingSource,
    Images,
    Role,
    Source,
    open_embeddings,
    open_sets,
    option,
)
from ganstoch.auditing.judging import judge
from ganstoch.auditing.lists import approximation_words, audit_lists, audit_notes
from ganstoch.auditing.measures import K, LatentGenerator, latent_recovery, measures_of
from ganstoch.auditing.omitted import not_checked
from ganstoch.auditing.output import check_place, png_pictures, write_files
from ganstoch.auditing.private import Pseudonyms
from ganstoch.auditing.report import AuditReport, settings_sha256
from ganstoch.data.decoding import Fit
from ganstoch.data.reading import MEMORY, Mode, Reading
from ganstoch.environment import hardware, versions
from ganstoch.errors import UserError
from ganstoch.metrics.features import AnyFeatures, Extractor, Pixels, make_extractor
from ganstoch.metrics.neighbours import approximate_searches
from ganstoch.pixels import Layout, Range

_log = logging.getLogger("ganstoch")
_PROGRAM = 7 * 2**27  # bytes that Python and its libraries take before any image is read
_SEARCHES = 2**29  # of a search's blocks
_PREPROCESSING = "real ones must go through the same steps as those that the generator learned of."
_ROW = 1024  # of an image apart from its features: names, digests, neighbours, scores


def audit(
    real: Source | None = None,
    generated: Source | None = None,
    *,
    held_out: Source | None = None,
    real_features: EmbeddingSource | None = None,
    generated_features: EmbeddingSource | None = None,
    held_out_features: EmbeddingSource | None = None,
    features: AnyFeatures | Sequence[AnyFeatures] | None = None,
    out: Path | None = None,
    cache: Path | None = None,
    memory: int = MEMORY,
    resize: int | None = None,
    fit: Fit = "crop",
    mode: Mode | None = None,
    skip_unreadable: bool = False,
    layout: Layout | None = None,
    range: Range | None = None,
    generator: LatentGenerator | None = None,
    group_by: str | Path | None = None,
    search_edits: bool = False,
    approximate: bool = False,
    seed: int = 0,
    gate: Gate | None = None,
    against: Path | None = None,
    private: bool = False,
    notes: Sequence[str] = (),
    command: str | None = None,
) -> AuditReport:
    """What generated images say of the images that their generator was trained on.

    Args:
        real: the training images: a place (a path, shards, ``file:KEY``, ``hf:OWNER/NAME``; see
            `ganstoch.locations.locate`), an array or tensor, or a list, Dataset, DataLoader or
            function (see `ganstoch.data.items.collect`).
        generated: the generator's images, likewise; best as many as there are real ones, which is
            what a function of a number is asked for.
        held_out: real images that the generator was not trained on, likewise; without them,
            training images compared with each other stand in for them.
        real_features: embeddings (N, F) of anything in place of ``real``: an array or tensor, or a
            .npy, .npz, .pt or .parquet file; compared as they are, by l2.
        generated_features: embeddings of what was generated, in place of ``generated``.
        held_out_features: embeddings in place of ``held_out``.
        features: a space to measure in, or several, each what `make_extractor` takes; pixels if
            None. Not for embeddings.
        out: folder for report.json, report.html, generated.csv and missed.csv; None writes nothing.
        cache: folder to keep features in for the next audit; None keeps none.
        memory: bytes that the whole program may take.
        resize: side of the square that every image is fitted to; None for no scaling.
        fit: how it is fitted: "crop" takes its centre, "stretch" all of it, "pad" adds black.
        mode: "L" makes all images grey, "RGB" gives them three channels; None as they are.
        skip_unreadable: whether to leave out files that cannot be decoded.
        layout: of arrays, "NCHW" or "NHWC"; None if their shape tells.
        range: of arrays, "bytes", "unit" [0, 1] or "symmetric" [-1, 1]; None if their ends tell.
        generator: to look for training images among what it can make; needs held-out images.
        group_by: which images are of one person or source: a CSV file with columns ``name`` and
            ``group``, or a regular expression on names; see `Grouping`. Real images of a group stay
            together, and generated ones are taken as independent.
        search_edits: whether to search pixels for copies that were mirrored, turned or shifted.
        approximate: whether searches among 10,000 images and more may miss a nearest neighbour; the
            report's notes and settings say how many were found. Needs FAISS.
        seed: decides every sample and thinning.
        gate: conditions of a release; the report's ``checks`` say which of them hold.
        against: report.json of an earlier audit, to say what changed.
        private: whether to leave out pictures, and put keyed hashes in the place of names.
        notes: for the report, each a sentence.
        command: for the report, what repeats the audit.

    Raises:
        UserError: for images that cannot be read or compared, too few of them, too little memory,
            or a place that cannot be written to. Nothing is written then.
    """
    started = time.monotonic()
    if out is not None:
        check_place(out)
    earlier = None if against is None else read_earlier(against)
    reading = Reading(
        resize=resize,
        fit=fit,
        mode=mode,
        skip_unreadable=skip_unreadable,
        layout=layout,
        range=range,
        memory=memory,
    )
    images: dict[Role, Any] = {"real": real, "generated": generated, "held_out": held_out}
    embedded: dict[Role, Any] = {"real": real_features, "generated": generated_features}
    embedded["held_out"] = held_out_features
    are_points = _are_points(images, embedded)
    extractors = _extractors(features, are_points=are_points)
    pseudonyms = Pseudonyms() if private else None
    if pseudonyms is not None:
        extractors = list(map(pseudonyms.hide_space, extractors))
    if search_edits and not any(isinstance(each, Pixels) for each in extractors):
        raise UserError("--search-edits is for pixels; add pixel to --features")
    opener = open_embeddings if are_points else open_sets
    sets = opener(embedded if are_points else images, reading=reading)
    grouping = None if group_by is None else Grouping(group_by)
    if grouping is not None:
        for each in (sets[role] for role in sets if role != "generated"):
            each.groups = grouping(each.names(torch.arange(len(each))), where=each.where)
    if pseudonyms is not None:
        pseudonyms.hide(sets)
    free = _check_sizes(sets, memory=memory)
    try:
        with approximate_searches(seed=seed) if approximate else nullcontext() as look:
            evidence = gather(
                sets, extractors, cache=cache, memory=free, edits=search_edits, seed=seed
            )
            measures = {k: m for space in evidence.spaces for k, m in measures_of(space).items()}
    except UserError:
        raise
    except ValueError as error:  # for what no image of a data set is
        raise UserError(str(error)) from error
    if generator is not None and "held_out" in sets:
        _log.info("latent recovery")
        measures.update([latent_recovery(generator, sets["real"], sets["held_out"], seed=seed)])
    findings = find(evidence)
    kind, sentence = verdict(findings, evidence)
    more_notes = audit_notes(evidence, findings)
    lists, tables, shown = audit_lists(sets, evidence, findings)
    settings: dict[str, Any] = {
        "features": [extractor.name for extractor in extractors],
        "resize": resize,
        "group_by": None if grouping is None else grouping.digest,
        "fit": fit,
        "mode": mode,
        "skip_unreadable": skip_unreadable,
        "layout": layout,
        "range": range,
        "search_edits": search_edits,
        "seed": seed,
        "k": K,
        "most": MOST,
    }
    if look is not None:
        recalls = look.recalls or [1.0]
        settings["approximate_recall"] = sum(recalls) / len(recalls)
        notes = (*notes, approximation_words(look.recalls))
        _log.info("%s", notes[-1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if are_points:
        shown = {}  # there are no pictures
    elif resize is not None:
        notes = (*notes, f"All images were fitted to {resize} pixels ({fit}): {_PREPROCESSING}")
    left_out = not_checked(
        evidence, recovery=generator is not None, labelled=sets["real"].labels is not None
    )
    report = AuditReport(
        verdict=kind,
        sentence=sentence,
        findings=tuple(finding.sentence for finding in findings),
        verdicts=tuple(finding.verdict for finding in findings),
        checks=() if gate is None else judge(gate, evidence, findings),
        not_checked=tuple(left_out),
        against=None,
        notes=(*notes, *evidence.notes, *more_notes),
        sets=evidence.facts.sets,
        metrics=measures,
        **lists,
        settings=settings,
        settings_sha256=settings_sha256(settings),
        command=command,
        versions=versions(),
        hardware=hardware(),
        peak_memory=peak if sys.platform == "darwin" else peak * 1024,
        seconds=time.monotonic() - started,
    )
    if pseudonyms is not None:
        report, shown = pseudonyms.hide_report(report), {}
        earlier = None if earlier is None else pseudonyms.hide_earlier(earlier)
    if earlier is not None:
        report = report.model_copy(update={"against": compare(earlier, report)})
    if out is not None:
        pictures = [png_pictures(sets[role], ids) for role, ids in shown.items()]
        write_files(out, report, **tables, pictures=ChainMap(*pictures))
    return report


def _are_points(images: Mapping[Role, Any], embedded: Mapping[Role, Any]) -> bool:
    """Whether embeddings are given; a UserError unless both kinds of one sort are."""
    points = [role for role, source in embedded.items() if source is not None]
    pixels = [role for role, source in images.items() if source is not None]
    if points and pixels:
        both = f"{option(points[0])}-features and {option(pixels[0])}"
        raise UserError(f"{both} are of two kinds; give images alone, or embeddings alone")
    for role in ("real", "generated"):
        if role not in (points or pixels):
            raise UserError(f"{option(role)}{'-features' if points else ''} is missing")
    return bool(points)


def _extractors(
    features: AnyFeatures | Sequence[AnyFeatures] | None, *, are_points: bool
) -> list[Extractor]:
    if are_points:
        if features is not None:
            raise UserError("embeddings are compared as they are; leave out --features")
        return [Embeddings()]
    several = isinstance(features, Sequence) and not isinstance(features, str)
    spaces: Any = features if several else ["pixel" if features is None else features]
    if not spaces:
        raise UserError("no feature space to measure in; give at least one of --features")
    try:
        extractors = [make_extractor(space) for space in spaces]
    except UserError:
        raise
    except ValueError as error:  # there is no such space
        raise UserError(f"{error}; see --features") from error
    names = [extractor.name for extractor in extractors]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UserError(f"--features has {', '.join(twice)} more than once; name each space once")
    return extractors


def _check_sizes(sets: dict[Role, Images], *, memory: int) -> int:
    for role, images in sets.items():
        if len(images) < LEAST:
            count = f"images in {images.where}: {len(images)}"
            fix = f"give {option(role)} more"
            raise UserError(f"{count}, and an audit needs at least {LEAST}; {fix}")
    pixels = max(np.prod(images.shape) for images in sets.values())
    needed = _PROGRAM + _SEARCHES + _ROW * sum(map(len, sets.values())) + 512 * int(pixels)
    if memory < needed:
        fix = f"give --memory {-(-needed // 2**20)}MiB or more"
        raise UserError(f"{memory / 2**20:,.0f} MiB are too little for these images; {fix}")
    return (memory - needed) // len(sets)
