"""`report.json`: what is written is read back, and nothing else is read."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ganstoch.errors import UserError
from ganstoch.report.audit_json import read_report, to_json, write_report
from ganstoch.report.audit_report import (
    AUDIT_SCHEMA,
    Histogram,
    Pairing,
    Reading,
    SetFacts,
    Share,
)


@pytest.fixture
def path(tmp_path, make_report):
    path = tmp_path / "out" / "report.json"
    write_report(path, make_report())
    return path


def test_round_trip(path, make_report):
    report = make_report()
    assert read_report(path) == report
    assert path.read_text() == to_json(report)
    assert json.loads(path.read_bytes())["schema"] == AUDIT_SCHEMA
    assert list(path.parent.iterdir()) == [path]


def test_the_least_there_can_be_is_a_report_too(tmp_path, make_report):
    report = make_report(
        findings=(),
        notes=(),
        copied_share=None,
        missed_share=None,
        metrics={},
        most_copied=(),
        most_missed=(),
        missed=(),
        missed_by_class={},
        histograms=(),
        settings={},
        versions={},
    )
    write_report(tmp_path / "report.json", report)
    assert read_report(tmp_path / "report.json") == report


def test_measures_keep_their_order(path):
    """Not the alphabet's: the page shows them in the order in which they were found."""
    assert list(read_report(path).metrics) == [
        "overfitting/pixel_l1/mean",
        "copied/pixel_l1/share",
        "birthday/support",
    ]
    assert list(read_report(path).missed_by_class) == ["cat", "truck", "dog"]


def test_any_name_survives(tmp_path, make_report, hostile):
    """Bytes of a file name that are no UTF-8, halves of surrogate pairs, are read as ``?``."""

    def report(name, other):
        return make_report(
            most_copied=(Pairing(name=name, neighbour=other, distance=1.0),),
            missed=(name,),
            missed_by_class={name: 0.5},
        )

    write_report(tmp_path / "report.json", report(hostile, "\udc80"))
    assert (tmp_path / "report.json").read_bytes().isascii()
    back = read_report(tmp_path / "report.json")
    assert back == report(hostile.replace("\udcff", "?"), "?")


GOOD = Histogram(title="t", unit="u", edges=(0.0, 1.0, 2.0), counts={"generated": (1, 2)})

WRONG: list[tuple[dict[str, Any], str | None]] = [  # None where the words are those of json
    ({"verdict": "leaks"}, "verdict"),
    ({"seconds": float("nan")}, None),
    ({"settings": {"x": float("inf")}}, None),
    ({"settings": {"x": np.float32(1)}}, "JSON has no name for"),
    ({"peak_memory": 1.5}, "peak_memory"),
    ({"peak_memory": -1}, "must not be negative"),
    ({"schema": 3}, "has schema 3"),
    ({"sets": {}}, "sets: 'generated' is missing"),
    (
        {
            "sets": {
                name: SetFacts(where="", images=1, different=1, one_colour=0, shape=(1,), sha256="")
                for name in ("real", "generated", "fake")
            }
        },
        "sets: 'fake' is none of real, generated, held_out",
    ),
    ({"copied_share": Share(estimate=0.5, low=0.6, high=0.7)}, "copied_share: must be"),
    ({"missed_share": Share(estimate=0.5, low=0.4, high=1.1)}, "missed_share: must be"),
    ({"missed_by_class": {"cat": 1.5}}, "missed_by_class.cat"),
    (
        {"metrics": {"a": Reading(value=1.0, wanted="low", meaning="", low=0.5)}},
        "metrics.a: low and high come together",
    ),
    (
        {"metrics": {"a": Reading(value=1.0, wanted="low", meaning="", low=2.0, high=1.0)}},
        "metrics.a: low is above high",
    ),
    (
        {"metrics": {"a": Reading(value=1.0, wanted="low", meaning="", p_value=2.0)}},
        "metrics.a: p_value",
    ),
    ({"histograms": (replace(GOOD, edges=(0.0, 2.0, 1.0)),)}, "edges must ascend"),
    ({"histograms": (replace(GOOD, edges=(0.0,), counts={}),)}, "two at least"),
    ({"histograms": (replace(GOOD, counts={"generated": (1,)}),)}, "has 1 counts for 2 bins"),
    ({"histograms": (replace(GOOD, counts={"generated": (1, -2)}),)}, "a negative count"),
]


@pytest.mark.parametrize(("changes", "complaint"), WRONG)
def test_what_could_not_be_read_is_not_written(path, make_report, changes, complaint):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=complaint) as caught:
        write_report(path, make_report(**changes))
    assert not isinstance(caught.value, UserError)  # the fault is ours, no user can mend it
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interval_may_miss_its_end_by_rounding(tmp_path, make_report):
    report = make_report(copied_share=Share(estimate=0.0, low=7e-18, high=0.01))
    write_report(tmp_path / "report.json", report)
    assert read_report(tmp_path / "report.json") == report


def edited(path, change):
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.update(schema=1), "has schema 1, this version reads 2"),
        (lambda c: c.update(verdict="fine"), "verdict"),
        (lambda c: c.update(verdict=1), "verdict"),
        (lambda c: c.pop("notes"), "notes"),
        (lambda c: c.update(colour="red"), "colour"),
        (lambda c: c["sets"]["real"].pop("sha256"), "sets.real.sha256"),
        (lambda c: c["sets"]["real"].update(shape=[3, 32.0]), "shape"),
        (lambda c: c["copied_share"].update(low=True), "copied_share.low"),
        (lambda c: c["settings"].update(x=float("nan")), "is no JSON (NaN is no number)"),
        (lambda c: c.update(seconds=10**400), "seconds"),
        (lambda c: c["copied_share"].update(low=0.9), "copied_share: must be"),
        (
            lambda c: c["metrics"]["birthday/support"].update(wanted="more"),
            "metrics.birthday/support.wanted",
        ),
        (
            lambda c: c["histograms"][0]["counts"].update(generated=[1, 2]),
            "'generated' has 2 counts for 20 bins",
        ),
    ],
)
def test_a_damaged_field_is_named(path, change, complaint):
    with pytest.raises(UserError) as caught:
        read_report(edited(path, change))
    message = str(caught.value)
    assert complaint in message
    assert str(path) in message
    assert message.endswith("run the audit again to replace it")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no report of an audit"),
        (b"{}", "has schema None"),
    ],
)
def test_another_file_is_refused(tmp_path, content, complaint):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        read_report(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*report\.json: "):
        read_report(tmp_path / "report.json")


def test_a_failed_write_leaves_the_old_report(path, make_report, monkeypatch):
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="No space left"):
        write_report(path, make_report(sentence="another"))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
