"""`report.json` of an audit, written and read back: atomic, versioned, every field checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, get_args

from ganstoch.errors import UserError
from ganstoch.records import decode, write_atomically
from ganstoch.report.audit_report import AUDIT_SCHEMA, AuditReport, Histogram, Reading, Role

__all__ = ["is_report", "read_report", "to_json", "write_report"]

_FIX = "run the audit again to replace it"

_ROUNDING = 1e-9


def to_json(report: AuditReport) -> str:
    """A report as JSON, ending in a newline; the order of its measures and sets is kept.

    Raises:
        ValueError: if a field has another type than its annotation says, if a number is not finite,
            or if fields contradict each other.
    """
    try:
        text = json.dumps(dataclasses.asdict(report), indent=1, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"the report holds what JSON has no name for: {error}") from error
    # Read back at once, so that nothing is written that could not be read.
    try:
        _decoded(json.loads(text), "the report")
    except UserError as error:
        raise ValueError(str(error)) from error
    return text + "\n"


def write_report(path: Path, report: AuditReport) -> None:
    """Writes a report as JSON; a reader sees the old file or the new, never half of either.

    Raises:
        UserError: if it cannot be written.
        ValueError: as `to_json` does; nothing is written then.
    """
    write_atomically(path, to_json(report).encode())


def read_report(path: Path) -> AuditReport:
    """Reads a report back, checking every field's presence, type and range.

    Raises:
        UserError: if the file is missing, no JSON, of another schema, or has a wrong field.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); {_FIX}") from error
    return _decoded(content, str(path))


def is_report(path: Path) -> bool:
    """Whether a file is a report of an audit, of this version's layout or of another."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"schema", "verdict", "copied_share"} <= content.keys()


def _refuse(constant: str) -> NoReturn:
    """Python reads NaN and Infinity, which JSON does not have and settings could hide."""
    raise ValueError(f"{constant} is no number")


def _decoded(content: Any, where: str) -> AuditReport:
    if not isinstance(content, dict):
        raise UserError(f"{where} is no report of an audit; {_FIX}")
    if content.get("schema") != AUDIT_SCHEMA:
        found = content.get("schema")
        raise UserError(f"{where} has schema {found!r}, this version reads {AUDIT_SCHEMA}; {_FIX}")
    report = decode(AuditReport, content, where, fix=_FIX)
    assert isinstance(report, AuditReport)
    for complaint in _contradictions(report):
        raise UserError(f"{where}: {complaint}; {_FIX}")
    return report


def _contradictions(report: AuditReport) -> Iterator[str]:
    """What the types let through and a page could not show."""
    roles = get_args(Role)
    for role, facts in report.sets.items():
        if role not in roles:
            yield f"sets: {role!r} is none of {', '.join(roles)}"
        if not 0 <= max(facts.different, facts.one_colour) <= facts.images:
            yield f"sets: {role} has {facts.images} images, {facts.different} different"
        if facts.images < 0 or any(size < 1 for size in facts.shape):
            yield f"sets: {role} has {facts.images} images of shape {facts.shape}"
    for missing in sorted({"real", "generated"} - set(report.sets)):
        yield f"sets: {missing!r} is missing"
    for name, share in (("copied", report.copied_share), ("missed", report.missed_share)):
        # An interval's formula may miss 0 or 1 by its rounding.
        ordered = (0.0, share.low, share.estimate, share.high, 1.0) if share is not None else ()
        if any(left > right + _ROUNDING for left, right in pairwise(ordered)):
            yield f"{name}_share: must be 0 <= low <= estimate <= high <= 1"
    for name, reading in report.metrics.items():
        yield from _of_reading(name, reading)
    for label, missed in report.missed_by_class.items():
        if not 0 <= missed <= 1:
            yield f"missed_by_class.{label}: {missed} is no share"
    for each in report.proportions:
        if not (0 <= each.generated <= 1 and 0 <= each.real <= 1):
            yield f"proportions.{each.name}: {each.generated}, {each.real} are no shares"
    for histogram in report.histograms:
        yield from _of_histogram(histogram)
    if report.seconds < 0 or report.peak_memory < 0:
        yield "seconds and peak_memory must not be negative"


def _of_reading(name: str, reading: Reading) -> Iterator[str]:
    low, high, p_value = reading.low, reading.high, reading.p_value
    if (low is None) != (high is None):
        yield f"metrics.{name}: low and high come together"
    if low is not None and high is not None and low > high:
        yield f"metrics.{name}: low is above high"
    if p_value is not None and not 0 <= p_value <= 1:
        yield f"metrics.{name}: p_value must be within [0, 1]"


def _of_histogram(histogram: Histogram) -> Iterator[str]:
    edges, name = histogram.edges, f"histograms: {histogram.title!r}"
    if len(edges) < 2 or any(left >= right for left, right in pairwise(edges)):
        yield f"{name}: edges must ascend, two at least"
    for series, counts in histogram.counts.items():
        if len(counts) != len(edges) - 1:
            yield f"{name}: {series!r} has {len(counts)} counts for {len(edges) - 1} bins"
        if any(count < 0 for count in counts):
            yield f"{name}: {series!r} has a negative count"
