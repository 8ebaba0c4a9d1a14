"""`ganstoch audit`: from a command line to a report on the terminal and in a folder."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ganstoch.auditing.audit import audit
from ganstoch.auditing.feature_cache import default_cache
from ganstoch.auditing.output import PAGE, terminal
from ganstoch.errors import UserError
from ganstoch.metrics.features import FeatureSpace

if TYPE_CHECKING:
    from ganstoch.auditing.checkpoint import Latents

__all__ = ["parse_memory", "run_audit"]

_OUT = Path("audit")
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def run_audit(
    *,
    real: Path | None,
    generated: Path | None,
    held_out: Path | None,
    checkpoint: Path | None,
    latents: Latents | None,
    features: str,
    out: Path | None,
    json: bool,
    memory: str,
    resize: int | None,
    seed: int,
    no_cache: bool,
    quiet: bool,
) -> int:
    """Makes the audit, prints it and leaves its files.

    The options are those of ``ganstoch audit --help``; an empty ``out`` is ``audit``, or nowhere
    with ``json``.

    Returns:
        0, whatever the verdict.

    Raises:
        UserError: for anything the user can mend; nothing is written then.
    """
    names = [cast(FeatureSpace, n.strip()) for n in features.split(",") if n.strip()]
    size = parse_memory(memory)
    out = out or (None if json else _OUT)
    with _silence() if quiet else contextlib.nullcontext():
        sources = _sources(real, generated, held_out, checkpoint, latents)
        for name in ("real", "generated"):
            if sources[name] is None:
                raise UserError(
                    f"--{name} is missing: a folder of images, or a file that holds them"
                )
        report = audit(
            **sources,
            features=names,
            out=out,
            cache=None if no_cache else default_cache(),
            memory=size,
            resize=resize,
            seed=seed,
        )
    if json:
        sys.stdout.write(report.to_json())
    else:
        print(terminal(report))
        print(f"\n{(out or _OUT) / PAGE}")
    return 0


def _sources(
    real: Path | None,
    generated: Path | None,
    held_out: Path | None,
    checkpoint: Path | None,
    latents: Latents | None,
) -> dict[str, Any]:
    """Where the images come from: what was given, and from the checkpoint what was not."""
    if checkpoint is None:
        if latents is not None:
            raise UserError("--latents chooses what a --checkpoint's generator makes; give one")
        return {"real": real, "generated": generated, "held_out": held_out}
    if generated is not None:
        raise UserError("--generated and --checkpoint both say what was generated; give one")
    from ganstoch.auditing.checkpoint import load_checkpoint  # brings Lightning: seconds

    run = load_checkpoint(checkpoint, latents=latents, data=real is None)
    return {
        "real": real or run.real,
        "generated": run.generated,
        "held_out": held_out or run.held_out,
        "generator": run.generator,
        "notes": run.notes,
    }


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
