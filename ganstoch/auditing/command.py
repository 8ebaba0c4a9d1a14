"""`ganstoch audit`: from a command line to a report on the terminal and in a folder."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ganstoch.auditing.audit import Source, audit
from ganstoch.auditing.feature_cache import default_cache
from ganstoch.auditing.latents import LatentGenerator
from ganstoch.auditing.output import PAGE
from ganstoch.auditing.table import terminal
from ganstoch.errors import UserError
from ganstoch.metrics.features import FeatureSpace
from ganstoch.report.audit_json import to_json

if TYPE_CHECKING:
    from ganstoch.auditing.subject import Kind

__all__ = ["Asked", "parse_memory", "run_audit"]

OUT = Path("audit")
"""Where a report goes if nothing else is said."""

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command line of `ganstoch audit`; see its --help.

    Attributes:
        real: training images; None for those of the checkpoint's run.
        generated: generated images; None for those of the checkpoint's generator.
        held_out: unseen real images, if any.
        checkpoint: of `ganstoch fit`, if any.
        latents: "bank" or "fresh", for a checkpoint; None for its own.
        features: names of feature spaces, comma-separated.
        out: folder of the report; None for `OUT`, or nowhere with ``json``.
        json: whether the report goes to standard output, and nothing else.
        memory: bytes, with a unit, e.g. "2GiB".
        resize: side to scale images to, if any.
        seed: of every sample.
        cache: whether features are kept.
        quiet: whether standard error stays silent.
    """

    real: Path | None
    generated: Path | None
    held_out: Path | None
    checkpoint: Path | None
    latents: Kind | None
    features: str
    out: Path | None
    json: bool
    memory: str
    resize: int | None
    seed: int
    cache: bool
    quiet: bool


def run_audit(asked: Asked) -> int:
    """Makes the audit, prints it and leaves its files.

    Returns:
        0, whatever the verdict.

    Raises:
        UserError: for anything the user can mend; nothing is written then.
    """
    names = [cast(FeatureSpace, n.strip()) for n in asked.features.split(",") if n.strip()]
    memory = parse_memory(asked.memory)
    out = asked.out or (None if asked.json else OUT)
    with _silence() if asked.quiet else contextlib.nullcontext():
        sources = _sources(asked)
        report = audit(
            sources.real,
            sources.generated,
            held_out=sources.held_out,
            features=names,
            out=out,
            cache=default_cache() if asked.cache else None,
            memory=memory,
            resize=asked.resize,
            generator=sources.generator,
            seed=asked.seed,
            notes=sources.notes,
        )
    if asked.json:
        sys.stdout.write(to_json(report))
    else:
        print(terminal(report))
        print(f"\n{(out or OUT) / PAGE}")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    real: Source
    generated: Source
    held_out: Source | None
    generator: LatentGenerator | None = None
    notes: tuple[str, ...] = ()


def _sources(asked: Asked) -> _Sources:
    """Where the images come from: what was given, and from the checkpoint what was not."""
    if asked.checkpoint is None:
        if asked.latents is not None:
            raise UserError("--latents chooses what a --checkpoint's generator makes; give one")
        return _Sources(
            real=_given(asked.real, name="real"),
            generated=_given(asked.generated, name="generated"),
            held_out=asked.held_out,
        )
    if asked.generated is not None:
        raise UserError("--generated and --checkpoint both say what was generated; give one")
    from ganstoch.auditing.subject import load_subject  # brings Lightning, which takes seconds

    subject = load_subject(asked.checkpoint, latents=asked.latents, data=asked.real is None)
    return _Sources(
        real=_given(asked.real or subject.real, name="real"),
        generated=subject.generated,
        held_out=asked.held_out or subject.held_out,
        generator=subject.generator,
        notes=subject.notes,
    )


def _given(source: Source | None, *, name: str) -> Source:
    if source is None:
        raise UserError(f"--{name} is missing: a folder of images, or a file that holds them")
    return source


def parse_memory(text: str) -> int:
    """Bytes, from e.g. "2GiB", "1.5g", "800 MB" (of 1,024 KB, as all units here) or a number.

    Raises:
        UserError: if it cannot be read, or is not above 0.
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d*)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if size < 1:
        raise UserError(f"--memory must be a size such as 2GiB or 800MiB, got {text!r}")
    return size


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """No word and no bar on standard error; what is wrong is still raised."""
    logger = logging.getLogger("ganstoch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
