"""What an audit leaves: lines on the terminal, and a folder of four files, all or none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from ganstoch.auditing.page import VERDICTS, render
from ganstoch.auditing.report import AuditReport, Measure, is_report
from ganstoch.auditing.words import decimals, fixed
from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.report.formatting import cell, wrapped

__all__ = ["check_place", "terminal", "write_files"]

REPORT, PAGE, TABLE, IMAGES = "report.json", "report.html", "missed.csv", "generated.csv"

_NAMED = 5
_LEFT_OUT = ("/worst10", "/worst5", "/density", "/z")
"""Ends of names that only the report files have."""


def check_place(out: Path) -> None:
    """Makes sure, before hours of work, that the files can be written and overwrite only their own.

    Raises:
        UserError: if the place is no folder, may not be written to, or holds files of those names
            that are not a report of ours.
    """
    fix = "choose another --out"
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file and not a folder; {fix}")
    there = [name for name in (REPORT, PAGE, TABLE, IMAGES) if (out / name).exists()]
    if there and not is_report(out / REPORT):
        raise UserError(f"{out} holds a {there[0]} that no audit has written; {fix}")
    folder = out
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{folder} is a file and not a folder; {fix}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"may not write to {folder}; {fix}")


def write_files(
    out: Path,
    report: AuditReport,
    *,
    pictures: Mapping[str, bytes],
    missed: pd.DataFrame,
    generated: pd.DataFrame,
) -> None:
    """Writes the files, once all of them are made; the report last, which vouches for the others.

    Raises:
        UserError: if one cannot be written.
    """
    content = {
        TABLE: _csv(missed),
        IMAGES: _csv(generated),
        PAGE: render(report, pictures),
        REPORT: report.to_json(),
    }
    for name, text in content.items():
        write_atomically(out / name, text.encode())


def _csv(frame: pd.DataFrame) -> str:
    text = frame.map(lambda value: cell(value) if isinstance(value, str) else value)
    return text.to_csv(index=False, float_format="%.6g", lineterminator="\r\n")


def terminal(report: AuditReport) -> str:
    """A report in at most 100 columns: the verdict, then the numbers that people look for."""
    lines = _wrapped(f"{VERDICTS[report.verdict].upper()}: {report.sentence}")
    for sentence in report.findings[1:]:
        lines += _wrapped(sentence, "  also: ")
    lines.append("")
    for role, facts in report.sets.items():
        shape = "x".join(map(str, facts.shape))
        text = f"{facts.images:,} images ({shape}), {facts.where}"
        lines += _wrapped(text, f"  {role.replace('_', ' '):<11}")
    if report.identical:
        named = [f"{twin.generated} is {twin.real}" for twin in report.identical[:_NAMED]]
        more = len(report.identical) - _NAMED
        text = f"identical: {', '.join(named)}" + (f" and {more:,} more" if more > 0 else "")
        lines += ["", *_wrapped(text)]
    lines += ["", *_table(report)]
    worst = sorted(report.missed_by_class.items(), key=lambda item: -item[1])[:_NAMED]
    if words := ", ".join(f"{name} {100 * share:.1f} %" for name, share in worst if share > 0):
        lines += ["", *_wrapped(f"missed by class, most first: {words}")]
    if report.notes:
        lines.append("")
        for note in report.notes:
            lines += _wrapped(note, "note: ")
    return "\n".join(lines)


def _table(report: AuditReport) -> Iterator[str]:
    shown = {
        _printable(name): measure
        for name, measure in report.metrics.items()
        if not name.endswith(_LEFT_OUT)
    }
    width = max((len(name) for name in shown), default=0) + 1
    head = f"{'generated':>12}{'unseen real':>14}   {'95 % interval':<22}{'p':>8}"
    yield f"{'':<{width}}{head}".rstrip()
    for name, measure in shown.items():
        yield f"{name:<{width}}{_cells(measure)}".rstrip()


def _cells(measure: Measure) -> str:
    low, high = measure.low, measure.high
    places = decimals([measure.value, measure.baseline, low, high])
    interval = "" if low is None else f"{fixed(low, places)} to {fixed(high, places)}"
    p = "" if measure.p_value is None else f"{measure.p_value:.3g}"
    value, baseline = fixed(measure.value, places), fixed(measure.baseline, places)
    return f"{value:>12}{baseline:>14}   {interval:<22}{p:>8}"


def _wrapped(text: str, first: str = "") -> list[str]:
    return wrapped(_printable(text), first=first, rest=" " * len(first))


def _printable(text: str) -> str:
    """Without characters that would move a terminal's cursor or turn its writing round."""
    plain = text.replace("\N{NO-BREAK SPACE}", " ")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)
