"""A report beside an earlier one: what changed, what did not, and what must not be compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from ganstoch.auditing.audit import audit
from ganstoch.auditing.output import terminal
from ganstoch.auditing.report import PROTOCOL, AuditReport, Comparison
from ganstoch.errors import UserError


@pytest.fixture
def earlier(split: Any, tmp_path: Path) -> Path:
    digits = split(train=120, fresh=60)
    audit(digits.train, digits.fresh, out=tmp_path / "earlier")
    return tmp_path / "earlier" / "report.json"


def against(split: Any, earlier: Path, **options: Any) -> tuple[AuditReport, Comparison]:
    digits = split(train=120, fresh=60)
    report = audit(digits.train, digits.fresh, against=earlier, **options)
    assert report.against is not None
    return report, report.against


def test_the_same_audit_changes_nothing(split: Any, earlier: Path) -> None:
    report, comparison = against(split, earlier)
    assert (comparison.sets, comparison.settings, comparison.metrics) == ((), (), ())
    assert comparison.same == len(report.metrics)
    assert comparison.verdict == report.verdict


def test_changes_are_named_with_both_values(split: Any, earlier: Path) -> None:
    report, comparison = against(split, earlier, seed=1, resize=7)
    changed = {change.name: (change.then, change.now) for change in comparison.settings}
    assert changed == {"resize": (None, 7), "seed": (0, 1)}
    assert "real shape" in {change.name for change in comparison.sets}
    metrics = {change.name: change for change in comparison.metrics}
    name = "overfitting/pixel_l1/mean"
    assert metrics[name].now == report.metrics[name].value
    assert metrics[name].then == json.loads(earlier.read_text())["metrics"][name]["value"]
    assert comparison.same + len(metrics) == len(report.metrics)
    assert name in terminal(report)


@pytest.mark.parametrize("protocol", [None, "ganstoch-audit/999"])
def test_measures_of_another_protocol_are_not_compared(
    split: Any, earlier: Path, protocol: str | None
) -> None:
    content = json.loads(earlier.read_text())
    if protocol is None:
        del content["protocol"]  # as the first version wrote it
    else:
        content["protocol"] = protocol
    earlier.write_text(json.dumps(content))
    report, comparison = against(split, earlier, seed=1)
    assert comparison.metrics == ()
    assert comparison.protocol != PROTOCOL == report.protocol
    assert comparison.protocol in terminal(report)


def test_the_settings_decide_the_hash(split: Any, earlier: Path) -> None:
    then = json.loads(earlier.read_text())["settings_sha256"]
    assert against(split, earlier)[0].settings_sha256 == then
    assert against(split, earlier, seed=1)[0].settings_sha256 != then


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"verdict": "no_issue", "metrics": {"a": 1}}'])
def test_what_is_no_report_is_refused(split: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UserError, match=r"other\.json"):
        against(split, tmp_path / "other.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "\ud800<b>", [[]], True])
def test_odd_values_of_an_earlier_report_are_told(
    split: Any, earlier: Path, tmp_path: Path, value: Any
) -> None:
    content = json.loads(earlier.read_text())
    content["settings"]["seed"] = content["sets"]["real"]["images"] = value
    earlier.write_text(json.dumps(content))
    _, comparison = against(split, earlier, out=tmp_path / "out")
    assert [change.name for change in comparison.settings] == ["seed"]
    assert "real images" in {change.name for change in comparison.sets}


def test_measures_of_an_earlier_report_are_finite(split: Any, earlier: Path) -> None:
    content = json.loads(earlier.read_text())
    next(iter(content["metrics"].values()))["value"] = float("nan")
    earlier.write_text(json.dumps(content))
    with pytest.raises(UserError, match="finite"):
        against(split, earlier)
