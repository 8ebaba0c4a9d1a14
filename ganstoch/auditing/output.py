"""What an audit leaves in a folder: report.json, report.html and two tables, all or none."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.report.audit_json import is_report, to_json
from ganstoch.report.audit_page import render
from ganstoch.report.audit_report import AuditReport
from ganstoch.report.markup import cell

__all__ = ["GeneratedRow", "MissedRow", "check_place", "write_files"]

REPORT = "report.json"
PAGE = "report.html"
TABLE = "missed.csv"
IMAGES = "generated.csv"

MissedRow = tuple[str, str, str, float]
"""A missed image, its class ("" without), its nearest generated image, and their distance."""

GeneratedRow = tuple[str, str, float, str]
"""A generated image, its nearest training image, their distance, and what it was flagged as: words
such as "identical" or "far", "" for nothing."""


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
    missed: Sequence[MissedRow],
    generated: Sequence[GeneratedRow],
) -> None:
    """Writes the files, once all of them are made; the report last, which vouches for the others.

    Raises:
        UserError: if one cannot be written.
    """
    text, page = to_json(report), render(report, pictures)
    lost = _table(("image", "class", "nearest_generated", "distance"), missed)
    made = _table(("image", "nearest_real", "distance", "flags"), generated)
    write_atomically(out / TABLE, lost.encode())
    write_atomically(out / IMAGES, made.encode())
    write_atomically(out / PAGE, page.encode())
    write_atomically(out / REPORT, text.encode())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(heads)
    for row in rows:
        writer.writerow([cell(x) if isinstance(x, str) else f"{x:.6g}" for x in row])
    return buffer.getvalue()
