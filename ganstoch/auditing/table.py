"""An audit for the terminal: the verdict, then the numbers that people look for."""

from __future__ import annotations

from collections.abc import Iterator

from ganstoch.report.audit_report import AuditReport, Reading
from ganstoch.report.markup import wrapped
from ganstoch.report.page_words import decimals, fixed

__all__ = ["terminal"]

_LEFT_OUT = ("/worst10", "/worst5", "/density", "/z")
"""Ends of names that only the report files have."""

_NAMED = 5

_HEADINGS = {
    "copies": "COPIES",
    "collapsed": "COLLAPSED",
    "drops_modes": "DROPS MODES",
    "unlike_the_data": "UNLIKE THE DATA",
    "undecided": "UNDECIDED",
    "nothing_found": "NOTHING FOUND",
}


def terminal(report: AuditReport) -> str:
    """At most 100 columns; ends without a line break."""
    lines = wrapped(f"{_HEADINGS[report.verdict]}: {_printable(report.sentence)}")
    for sentence in report.findings[1:]:
        lines += wrapped(_printable(sentence), first="  also: ", rest="        ")
    lines.append("")
    for role, facts in report.sets.items():
        shape = "x".join(map(str, facts.shape))
        text = f"{facts.images:,} images ({shape}), {_printable(facts.where)}"
        lines += wrapped(text, first=f"  {role.replace('_', ' '):<11}", rest=" " * 13)
    if report.identical:
        named = ", ".join(
            f"{_printable(twin.generated)} is {_printable(twin.real)}"
            for twin in report.identical[:_NAMED]
        )
        more = len(report.identical) - _NAMED
        lines += ["", *wrapped(f"identical: {named}" + (f" and {more:,} more" if more > 0 else ""))]
    lines += ["", *_table(report)]
    missed = {name: share for name, share in report.missed_by_class.items() if share > 0}
    if missed:
        worst = sorted(missed.items(), key=lambda item: -item[1])[:5]
        words = ", ".join(f"{_printable(name)} {100 * share:.1f} %" for name, share in worst)
        lines += ["", *wrapped(f"missed by class, most first: {words}")]
    if report.notes:
        lines.append("")
        for note in report.notes:
            lines += wrapped(_printable(note), first="note: ", rest="      ")
    return "\n".join(lines)


def _table(report: AuditReport) -> Iterator[str]:
    shown = {name: r for name, r in report.metrics.items() if not name.endswith(_LEFT_OUT)}
    width = max((len(name) for name in shown), default=0) + 1
    head = f"{'generated':>12}{'unseen real':>14}   {'95 % interval':<22}{'p':>8}"
    yield f"{'':<{width}}{head}".rstrip()
    for name, reading in shown.items():
        yield _line(name, reading, width=width)


def _line(name: str, reading: Reading, *, width: int) -> str:
    numbers = [n for n in (reading.value, reading.baseline, reading.low, reading.high) if n]
    places = decimals(numbers)

    def words(number: float | None) -> str:
        return "" if number is None else fixed(number, places)

    interval = "" if reading.low is None else f"{words(reading.low)} to {words(reading.high)}"
    p = "" if reading.p_value is None else f"{reading.p_value:.3g}"
    cells = f"{words(reading.value):>12}{words(reading.baseline):>14}   {interval:<22}{p:>8}"
    return f"{name:<{width}}{cells}".rstrip()


def _printable(text: str) -> str:
    """Without characters that would move a terminal's cursor or turn its writing round."""
    plain = text.replace("\N{NO-BREAK SPACE}", " ")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)
