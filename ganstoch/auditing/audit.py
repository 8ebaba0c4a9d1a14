"""The audit: two sets of images, or three, into a report with a verdict."""

import hashlib
import json
import logging
import resource
import sys
import time
from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganstoch.auditing.comparison import compare, read_earlier
from ganstoch.auditing.evidence import LEAST, MOST, gather
from ganstoch.auditing.findings import find, verdict
from ganstoch.auditing.gate import Gate
from ganstoch.auditing.groups import Grouping
from ganstoch.auditing.inputs import Images, Role, Source, open_images, option
from ganstoch.auditing.judging import judge
from ganstoch.auditing.lists import audit_lists, audit_notes
from ganstoch.auditing.measures import K, LatentGenerator, latent_recovery, measures_of
from ganstoch.auditing.omitted import not_checked
from ganstoch.auditing.output import check_place, png_pictures, write_files
from ganstoch.auditing.private import Pseudonyms
from ganstoch.auditing.report import AuditReport
from ganstoch.callbacks.run_folder import hardware, versions
from ganstoch.data.arrays import MEMORY
from ganstoch.errors import UserError
from ganstoch.metrics.features import AnyFeatures, make_extractor

_log = logging.getLogger("ganstoch")
_PROGRAM = 3 * 2**28  # bytes that Python and its libraries take before any image is read
_SEARCHES = 2**29  # of a search's blocks
_ROW = 1024  # of an image apart from its features: names, digests, neighbours, scores


def audit(
    real: Source,
    generated: Source,
    *,
    held_out: Source | None = None,
    features: AnyFeatures | Sequence[AnyFeatures] = "pixel",
    out: Path | None = None,
    cache: Path | None = None,
    memory: int = MEMORY,
    resize: int | None = None,
    generator: LatentGenerator | None = None,
    group_by: str | Path | None = None,
    seed: int = 0,
    gate: Gate | None = None,
    against: Path | None = None,
    private: bool = False,
    notes: Sequence[str] = (),
    command: str | None = None,
) -> AuditReport:
    """What generated images say of the images that their generator was trained on.

    Args:
        real: the training images: a folder, an array or a file that holds one.
        generated: the generator's images, likewise; best as many as there are real ones.
        held_out: real images that the generator was not trained on, likewise; without them,
            training images compared with each other stand in for them.
        features: a space to measure in, or several, each what `make_extractor` takes.
        out: folder for report.json, report.html, generated.csv and missed.csv; None writes nothing.
        cache: folder to keep features in for the next audit; None keeps none.
        memory: bytes that the whole program may take.
        resize: side of the square that every image's centre is scaled to; None for no scaling.
        generator: to look for training images among what it can make; needs held-out images.
        group_by: which images are of one person or source: a CSV file with columns ``name`` and
            ``group``, or a regular expression on names; see `Grouping`. Real images of a group stay
            together, and generated ones are taken as independent.
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
    grouping = None if group_by is None else Grouping(group_by)
    earlier = None if against is None else read_earlier(against)
    if not features:
        raise UserError("no feature space to measure in; give at least one of --features")
    try:
        several = isinstance(features, Sequence) and not isinstance(features, str)
        spaces: Any = features if several else [features]
        extractors = [make_extractor(space) for space in spaces]
    except UserError:
        raise
    except ValueError as error:  # there is no such space
        raise UserError(f"{error}; see --features") from error
    sources: dict[Role, Source | None]
    sources = {"real": real, "generated": generated, "held_out": held_out}
    sets = {
        role: open_images(source, role=role, resize=resize, memory=memory)
        for role, source in sources.items()
        if source is not None
    }
    if grouping is not None:
        for images in (sets[role] for role in sets if role != "generated"):
            names = images.names(torch.arange(len(images)))
            images.groups = grouping(names, where=images.where)
    pseudonyms = Pseudonyms() if private else None
    if pseudonyms is not None:
        for images in sets.values():
            pseudonyms.hide(images)
    free = _check_sizes(sets, memory=memory)
    try:
        evidence = gather(sets, extractors, cache=cache, memory=free, seed=seed)
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
    settings = {
        "features": [extractor.name for extractor in extractors],
        "resize": resize,
        "group_by": None if grouping is None else grouping.digest,
        "seed": seed,
        "k": K,
        "most": MOST,
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
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
        settings_sha256=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
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
