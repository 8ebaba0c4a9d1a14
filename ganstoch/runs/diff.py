"""Two records of what should be one run: the same bits, near enough, or different, and where."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ganstoch.records import Measurement, Record

__all__ = ["Comparison", "Sameness", "circumstances", "compare"]

Sameness = Literal["bit-identical", "equal", "different"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a run compares with an earlier one.

    Attributes:
        sameness: whether everything recorded is bit-identical, all metrics are equal within the
            tolerance, or neither.
        compared: numbers and digests that were compared.
        gap: largest relative gap between two metrics; 0 where none differs.
        first: the first iteration at which anything differs, 0 for the baseline; None if nothing
            does.
        parts: what differs there.
        beyond: the first iteration with a metric beyond the tolerance, its name, then and now.
    """

    sameness: Sameness
    compared: int
    gap: float
    first: int | None
    parts: tuple[str, ...]
    beyond: tuple[int, str, float, float] | None


def compare(earlier: Record, later: Record, *, tolerance: float) -> Comparison:
    """Compares everything that two records say of their runs' numbers.

    ``tolerance`` is the largest relative gap of a metric that passes for rounding.
    """
    first: int | None = None
    parts: list[str] = []
    beyond: tuple[int, str, float, float] | None = None
    gap, compared = 0.0, 0
    for iteration, name, then, now in _pairs(earlier, later):
        compared += 1
        if then == now:
            continue
        if first is None:
            first = iteration
        if first == iteration:
            parts.append(name)
        if isinstance(then, float) and isinstance(now, float):
            wide = abs(now - then) / max(abs(then), abs(now))
            gap = max(gap, wide)
            if wide > tolerance and beyond is None:
                beyond = (iteration, name, then, now)
        elif then is None or now is None:
            numbers = [v if isinstance(v, float) else math.nan for v in (then, now)]
            beyond = beyond or (iteration, name, numbers[0], numbers[1])
    # Counts, such as of modes, agree long before weights do: numbers alone do not say it.
    whole = all(m.digests for record in (earlier, later) for m in record.history)
    same: Sameness = "bit-identical" if first is None and whole else "equal"
    return Comparison(
        sameness="different" if beyond else same,
        compared=compared,
        gap=gap,
        first=first,
        parts=tuple(parts),
        beyond=beyond,
    )


def circumstances(earlier: Record, later: Record) -> list[str]:
    """What two runs did not have in common, which may explain why their numbers differ."""
    then, now = dict(earlier.versions), dict(later.versions)
    for name in ("hardware", "threads", "git_sha", "subset_sha256"):
        then[name], now[name] = (str(getattr(record, name)) for record in (earlier, later))
    return [
        f"{name} {then.get(name, 'none')}, now {now.get(name, 'none')}"
        for name in sorted(then | now)
        if then.get(name) != now.get(name)
    ]


def _pairs(
    earlier: Record, later: Record
) -> Iterator[tuple[int, str, float | str | None, float | str | None]]:
    """Every number and digest of both, in the order in which the runs made them.

    A number that only one has is None in the other; a digest that only one has is left out, as
    older versions took none.
    """
    start = [Measurement(iteration=0, images_seen=0, metrics=r.baseline) for r in (earlier, later)]
    thens, nows = (
        {m.iteration: m for m in (first, *record.history)}
        for first, record in zip(start, (earlier, later), strict=True)
    )
    empty = Measurement(iteration=0, images_seen=0, metrics={})
    for iteration in sorted(thens | nows):
        then, now = thens.get(iteration, empty), nows.get(iteration, empty)
        for name in sorted(then.digests.keys() & now.digests.keys()):
            yield iteration, name, then.digests[name], now.digests[name]
        for name in sorted(then.metrics | now.metrics):
            yield iteration, name, then.metrics.get(name), now.metrics.get(name)
