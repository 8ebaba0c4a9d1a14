"""What an audit leaves: lines on the terminal, and four files, each whole, the report last.

Names of files and classes are whatever somebody called them: the template escapes all of them, and
characters that cannot be seen but change how a name looks are written out.
"""

import base64
import contextlib
import io
import os
import textwrap
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pandas as pd
import torch
from markupsafe import Markup
from PIL import Image
from tabulate import tabulate
from torch import Tensor

from ganstoch.auditing import report as words
from ganstoch.auditing.inputs import Images
from ganstoch.auditing.report import AuditReport, CellShares, Change, Comparison, Histogram, Pair
from ganstoch.errors import UserError, visible
from ganstoch.records import read_json, write_atomically
from ganstoch.report.formatting import cell, render_page, wrapped

REPORT, PAGE, MISSED, GENERATED = "report.json", "report.html", "missed.csv", "generated.csv"
_NAMED = 5
_TILE = 96  # pixels of an image's side on the page
_PAGE_ONLY = ("/worst10", "/worst5", "/density", "/z")  # ends of names, left out on the terminal


def check_place(out: Path) -> None:
    """A UserError for a place that cannot be written to, or that holds files of others."""
    fix = "choose another --out"
    others = [name for name in (REPORT, PAGE, MISSED, GENERATED) if (out / name).exists()]
    content: object = None
    with contextlib.suppress(UserError):
        content = read_json(out / REPORT, fix="")
    is_report = isinstance(content, dict) and {"schema", "verdict", "copied_share"} <= set(content)
    others = [name for name in others if not (is_report and (out / name).is_file())]
    if others:
        raise UserError(f"{out} holds a {others[0]} that no audit has written; {fix}")
    folder = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not folder.is_dir():
        raise UserError(f"{folder} is a file and not a folder; {fix}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"may not write to {folder}; {fix}")


def write_files(
    out: Path,
    report: AuditReport,
    *,
    missed: pd.DataFrame,
    generated: pd.DataFrame,
    pictures: Mapping[str, bytes],
) -> None:
    """Writes the files once all are made; the report last, which vouches for the others."""
    content = {MISSED: _csv(missed), GENERATED: _csv(generated), PAGE: render(report, pictures)}
    content[REPORT] = report.to_json()
    for name, text in content.items():
        write_atomically(out / name, text.encode(errors="backslashreplace"))


def _csv(frame: pd.DataFrame) -> str:
    text = frame.map(lambda value: cell(value) if isinstance(value, str) else value)
    return text.to_csv(index=False, float_format="%.6g", lineterminator="\r\n")


def terminal(report: AuditReport) -> str:
    """A report in at most 100 columns: the verdict, then the numbers that people look for."""
    lines = _lines("", f"{verdict_words(report).upper()}: {report.sentence}")
    for sentence in report.findings[1:]:
        lines += _lines("  also: ", sentence)
    for check in report.checks:
        lines += _lines(f"  {check.outcome}: ", f"{check.name}: {check.sentence}")
    lines.append("")
    for role, facts in report.sets.items():
        text = f"{facts.images:,} images ({'x'.join(map(str, facts.shape))}), {facts.where}"
        lines += _lines(f"  {role.replace('_', ' '):<11}", text)
    if report.identical:
        named = [f"{twin.generated} is {twin.real}" for twin in report.identical[:_NAMED]]
        more = len(report.identical) - _NAMED
        end = f" and {more:,} more" if more > 0 else ""
        lines += ["", *_lines("", f"identical: {', '.join(named)}{end}")]
    if report.copied_groups:
        named = [f"{group.name} ({group.copies:,})" for group in report.copied_groups[:_NAMED]]
        more = len(report.copied_groups) - _NAMED
        end = f" and {more:,} more groups" if more > 0 else ""
        lines += ["", *_lines("", f"copies by group: {', '.join(named)}{end}")]
    spaces: dict[str, list[list[str]]] = {}
    for key, measure in report.metrics.items():
        if not key.endswith(_PAGE_ONLY):
            first, *rest = key.split("/")
            space, name = "".join(rest[:1]), "/".join([first, *rest[1:]])
            spaces.setdefault(space, []).append([name, *words.measure_cells(measure)])
    rows = [row for space, of in spaces.items() for row in ([], [space], *of)]
    rows = [[_plain(text) for text in row] for row in rows]
    heads = ["", "generated", "unseen real", "95 % interval", "p"]
    align = ("left", "right", "right", "left", "right") if rows else None
    table = tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=align)
    lines += ["", *(line.rstrip() for line in table.splitlines())]
    if worst := [item for item in _classes(report)[:_NAMED] if item[1] > 0]:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in worst)
        lines += ["", *_lines("", f"missed by class, most first: {shares}")]
    lines.append("")
    for note in report.notes:
        lines += _lines("note: ", note)
    for left_out in report.not_checked:
        lines += _lines("not checked: ", f"{left_out.name}. {left_out.reason} {left_out.fix}")
    if report.against is not None:
        lines += ["", *_changes(report.against)]
    return "\n".join(lines)


def _changes(against: Comparison) -> list[str]:
    """What changed since an earlier report, the measures as a table."""
    lines = _lines("against: ", f"the verdict was {against.verdict.replace('_', ' ')}")
    for change in (*against.sets, *against.settings):
        then, now = (value[:40] for value in change_cells(change)[:2])
        lines += _lines("  ", f"{change.name}: {then}, now {now}")
    if against.protocol != words.PROTOCOL:
        reason = f"follows {against.protocol}, not {words.PROTOCOL}: its numbers mean other things"
        return lines + _lines("  ", f"The earlier report {reason}, and are not compared.")
    rows = [[_plain(text) for text in (c.name, *change_cells(c))] for c in against.metrics]
    if rows:
        heads, align = ["", "then", "now", "change"], ("left", "right", "right", "right")
        table = tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=align)
        lines += table.splitlines()
    return [*lines, f"  {against.same:,} measures are the same."]


def change_cells(change: Change) -> list[str]:
    """Then, now and the difference of a number, if there is one."""
    then, now = change.then, change.now
    if isinstance(then, str) or isinstance(now, str):
        return [str(then or "none"), str(now or "none"), ""]
    cells = words.fixed(then, now, None if then is None or now is None else now - then)
    return [*(cell or "none" for cell in cells[:2]), cells[2]]


def _lines(first: str, text: str) -> list[str]:
    """A text in lines, after its first words, without a character that a terminal obeys."""
    return wrapped(_plain(text), first=first, rest=" " * len(first))


def _plain(text: str) -> str:
    return visible(text).replace("\N{NO-BREAK SPACE}", " ")


def verdict_words(report: AuditReport) -> str:
    """The verdict as a heading: ``Mode drop``."""
    return report.verdict.replace("_", " ").capitalize()


def _classes(report: AuditReport) -> list[tuple[str, float]]:
    return sorted(report.missed_by_class.items(), key=itemgetter(1), reverse=True)


def png_pictures(images: Images, ids: Tensor) -> dict[str, bytes]:
    """PNG files of some images, by ``role/name``."""
    several = torch.unique(ids)
    pictures = {}
    for name, pixels in zip(images.names(several), images.read(several), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).squeeze(-1).numpy()).save(buffer, "PNG")
        pictures[f"{images.role}/{name}"] = buffer.getvalue()
    return pictures


def render(report: AuditReport, pictures: Mapping[str, bytes]) -> str:
    """The whole page; ``pictures`` are PNG files by ``role/name``, some may be missing."""
    return render_page(
        Path(__file__).parent,
        report=report,
        verdict=verdict_words(report),
        percent=words.percent,
        percent_range=words.percent_range,
        measure_cells=words.measure_cells,
        groups=_groups(report),
        drawn=_drawn,
        proportions=[(name, list(cells)) for name, cells in groupby(report.proportions, _map_name)],
        pictures={name: _address(content, "png") for name, content in pictures.items()},
        distance=_distance,
        classes=_classes(report),
        sharp=max(report.sets["real"].shape[1:], default=0) <= _TILE,
        settings=_settings(report),
        change_cells=change_cells,
        protocol=words.PROTOCOL,
    )


_SHOWN: dict[words.Verdict, words.MeasureGroup] = {
    "memorization": "copies",
    "mode_collapse": "diversity",
    "mode_drop": "coverage",
    "distribution_shift": "fidelity",
}


def _groups(report: AuditReport) -> list[dict[str, object]]:
    """Groups of measures with what they ask; those of a finding are unfolded."""
    shown = {_SHOWN.get(verdict) for verdict in report.verdicts}
    groups: list[dict[str, object]] = []
    for group, question in words.MEASURE_GROUPS.items():
        measures = {k: m for k, m in report.metrics.items() if (m.group or "fidelity") == group}
        if measures:
            entry = {"name": group, "question": question, "measures": measures}
            groups.append(entry | {"is_found": group in shown})
    return groups


def _map_name(cell: CellShares) -> str:
    return f"{cell.space}, {'clusters' if cell.name.startswith('cluster ') else 'classes'}"


def _distance(pair: Pair) -> str:
    distance, typical = words.fixed(pair.distance, pair.typical)
    identical = ", identical" if pair.distance == 0 else ""
    identical += f", {pair.edit}" if pair.edit else ""
    return f"{distance}{identical}" + (f"; typical {typical}" if typical else "")


def _address(content: bytes, kind: str) -> Markup:
    return Markup("data:image/") + kind + ";base64," + base64.b64encode(content).decode()


def _drawn(histogram: Histogram) -> Markup:
    from ganstoch.report.figures import histogram_svg  # matplotlib takes a second to import

    counts = {_short(f"{name}, {sum(each):,}"): each for name, each in histogram.counts.items()}
    svg = histogram_svg(histogram.edges, counts, unit=_short(histogram.unit))
    return _address(svg, "svg+xml")


def _short(text: str) -> str:
    """A short text that matplotlib takes for no formula."""
    return textwrap.shorten(visible(text), 60, placeholder=" ...").replace("$", r"\$")


def _settings(report: AuditReport) -> dict[str, object]:
    settings: dict[str, object] = {}
    for key, value in report.settings.items():
        settings[key] = "none" if value is None else value
        if isinstance(value, list | tuple):
            settings[key] = ", ".join(map(str, value))
    for role, facts in report.sets.items():
        settings[f"{role.replace('_', ' ')}, sha256 of the pixels"] = facts.sha256
    return settings | {
        "protocol": report.protocol,
        "sha256 of the settings": report.settings_sha256,
        **report.versions,
        "hardware": report.hardware,
        "seconds": f"{report.seconds:.1f}",
        "memory at most": f"{report.peak_memory / 2**20:,.0f} MiB",
        "layout of report.json": f"version {report.schema_version}",
    }
