"""Conditions of a release, and how their checks are told: exit status, JUnit, annotations."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

from ganstoch.auditing.report import AuditReport, Check, Outcome, Verdict
from ganstoch.errors import UserError, visible

_STATUS: dict[Outcome, int] = {"failed": 1, "inconclusive": 3, "passed": 0}  # the gravest first
_ELEMENT: dict[Outcome, str] = {"failed": "failure", "inconclusive": "error"}
_ANNOTATION: dict[Outcome, str] = {"failed": "error", "inconclusive": "warning"}


_SUITE, _BEGINNING = b'<testsuite name="ganstoch-audit/', 100  # bytes, where it stands


@dataclass(frozen=True)
class Gate:
    """Conditions of a release; without any, everything passes."""

    fail_on: tuple[Verdict, ...] = ()  # verdicts that no finding may have
    max_copied: float | None = None  # largest share of the generated images that may be copies
    max_missed: float | None = None  # largest share of the training images that may be missed

    def __post_init__(self) -> None:
        verdicts = [verdict for verdict in get_args(Verdict) if verdict != "no_issue"]
        for verdict in self.fail_on:
            if verdict not in verdicts:
                raise UserError(f"--fail-on takes {', '.join(verdicts)}; got {verdict!r}")
        for name in ("max_copied", "max_missed"):
            bound = getattr(self, name)
            if bound is not None and not 0 <= bound < 1:
                option = f"--{name.replace('_', '-')}"
                raise UserError(f"{option} must be a share from 0 to below 1, got {bound:g}")


def exit_status(checks: Sequence[Check]) -> int:
    """1 if a check failed, else 3 if one is inconclusive, else 0."""
    outcomes = {check.outcome for check in checks}
    return next((status for outcome, status in _STATUS.items() if outcome in outcomes), 0)


def check_file(path: Path) -> None:
    """A UserError for a place of a JUnit file that cannot be written, or has another file."""
    fix = "give --junit another place"
    if path.exists() and not (path.is_file() and _SUITE in _beginning(path)):
        raise UserError(f"{path} is no JUnit file of an audit; {fix}")
    folder = next(place for place in path.absolute().parents if place.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"may not write to {folder}; {fix}")


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BEGINNING)


def junit(report: AuditReport) -> bytes:
    """The checks as a JUnit file: failed ones as failures, inconclusive ones as errors.

    What was not checked is skipped.
    """
    outcomes = [check.outcome for check in report.checks]
    counts = {
        "tests": len(report.checks) + len(report.not_checked),
        "failures": outcomes.count("failed"),
        "errors": outcomes.count("inconclusive"),
        "skipped": len(report.not_checked),
    }
    suite = ElementTree.Element("testsuite", name=report.protocol, time=f"{report.seconds:.3f}")
    suite.attrib.update({name: str(count) for name, count in counts.items()})

    def case(name: str) -> ElementTree.Element:
        attributes = {"classname": "ganstoch.audit", "name": visible(name)}
        return ElementTree.SubElement(suite, "testcase", attributes)

    for check in report.checks:
        parent = case(check.name)
        kind = _ELEMENT.get(check.outcome, "system-out")
        child = ElementTree.SubElement(parent, kind)
        child.text = visible(check.sentence)
        if check.outcome in _ELEMENT:
            child.set("message", visible(check.sentence))
            child.set("type", check.outcome)
    for left_out in report.not_checked:
        reason = visible(f"{left_out.reason} {left_out.fix}".strip())
        ElementTree.SubElement(case(left_out.name), "skipped", message=reason)
    content: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def github_annotations(checks: Sequence[Check]) -> Iterator[str]:
    """Lines that GitHub Actions shows beside a run, for checks that did not pass."""
    for check in checks:
        if kind := _ANNOTATION.get(check.outcome):
            title = _escaped(f"ganstoch audit {check.name}")
            title = title.replace(":", "%3A").replace(",", "%2C")
            yield f"::{kind} title={title}::{_escaped(check.sentence)}"


def _escaped(text: str) -> str:
    return visible(text).replace("%", "%25")
