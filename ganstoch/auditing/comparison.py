"""What differs between a report and an earlier one of the same generator, or of another."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat

from ganstoch.auditing.report import PROTOCOL, AuditReport, Change, Comparison
from ganstoch.records import decode, read_json

_ROUNDING = 1e-9  # relative, between machines
_LARGEST = 1e300  # numbers beyond are told as text, and so is NaN


class _Value(BaseModel):
    value: FiniteFloat


class Earlier(BaseModel):
    """What all versions of report.json have in common."""

    model_config = ConfigDict(frozen=True)
    verdict: str
    sets: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    metrics: dict[str, _Value]
    protocol: str = "ganstoch-audit/1"  # the first did not name itself


def read_earlier(path: Path) -> Earlier:
    """The content of a report.json of any version; a UserError if it is none."""
    fix = "--against takes the report.json of an audit"
    earlier: Earlier = decode(Earlier, read_json(path, fix=fix), str(path), fix=fix)
    return earlier


def compare(earlier: Earlier, report: AuditReport) -> Comparison:
    """Changes of sets, settings and, if both follow one protocol, of measures."""
    now = Earlier.model_validate_json(report.to_json())
    metrics, same = list[Change](), 0
    if earlier.protocol == PROTOCOL:
        values = [{name: m.value for name, m in each.metrics.items()} for each in (earlier, now)]
        metrics = list(_changes(*values))
        same = len(now.metrics) - sum(change.now is not None for change in metrics)
    return Comparison(
        protocol=earlier.protocol,
        verdict=earlier.verdict,
        sets=tuple(_changes(_facts(earlier), _facts(now))),
        settings=tuple(_changes(earlier.settings, now.settings)),
        metrics=tuple(metrics),
        same=same,
    )


def _facts(report: Earlier) -> dict[str, Any]:
    return {
        f"{role} {fact}": facts[fact]
        for role, facts in report.sets.items()
        for fact in ("images", "different", "shape", "sha256")
        if fact in facts
    }


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*now, *then)):
        old, new = then.get(name), now.get(name)
        if not _equal(old, new):
            yield Change(name=name, then=_plain(old), now=_plain(new))


def _equal(old: object, new: object) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=_ROUNDING)
    return old == new


def _plain(value: object) -> float | str | None:
    if value is None:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return value
    return value if isinstance(value, str) else json.dumps(value)
