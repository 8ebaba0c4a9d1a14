import errno
import gzip
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganstoch.errors import UserError
from ganstoch.records import (
    SCHEMA,
    Measurement,
    Record,
    converted_config,
    read_record,
    write_atomically,
    write_record,
)


@pytest.fixture
def record() -> Record:
    metrics = {"overfitting/pixel_l1/mean": 0.1 + 0.2, "mode_drop/pixel_l1/mean": 1e-300}
    points = [(10, 160, {"a": 2.0}), (20, 320, metrics)]
    fields: dict[str, Any] = {
        **{"config_hash": "abc", "preset": "mini", "dataset": "digits", "subset_sha256": "def"},
        **{"seed": -3, "n": 64, "m": 16, "noise": 0.5, "iterations": 20, "seconds": 1 / 3},
        **{"bank": None, "images_seen": 320, "converged": False, "metrics": metrics},
        **{"baseline": {}, "versions": {"python": "3"}, "hardware": "2 x processor, größer"},
        "config": {"data": {"m": "n/4", "list": [1, None, 0.5, True]}},
    }
    history = tuple(Measurement(iteration=i, images_seen=s, metrics=m) for i, s, m in points)
    return Record(**fields, history=history)


@pytest.fixture
def path(tmp_path: Path, record: Record) -> Path:
    path = tmp_path / "run" / "record.json"
    write_record(path, record)
    return path


def test_round_trip(path: Path, record: Record) -> None:
    assert read_record(path) == record
    content = json.loads(path.read_bytes())
    assert content["schema"] == SCHEMA
    assert content["bank"] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_not_finite_is_not_written(path: Path, record: Record, value: float) -> None:
    record.metrics["overfitting/pixel_l1/mean"] = value
    before = path.read_bytes()
    with pytest.raises(ValueError):  # noqa: PT011 - the words are json's
        write_record(path, record)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c.update(schema=SCHEMA + 1), "schema"),
        (lambda c: c.pop("schema"), "schema"),
        (lambda c: c.pop("noise"), "noise"),
        (lambda c: c.update(colour="red"), "colour"),
        (lambda c: c.update(n="64"), "n"),
        (lambda c: c.update(n=0), "n"),
        (lambda c: c.update(iterations=2**63), "iterations"),
        (lambda c: c.update(seconds=math.nan), "seconds"),
        (lambda c: c["metrics"].update(a="1"), "metrics.a"),
        (lambda c: c["history"][0].pop("metrics"), "history.0.metrics"),
    ],
)
def test_a_damaged_field_is_named(path: Path, change: Callable[..., Any], key: str) -> None:
    edit(path, change)
    with pytest.raises(UserError, match=rf"\b{key}\b") as caught:
        read_record(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b'{"schema": 1,', b"\xff\xfe\x00", b"[1]", b"[" * 10**5, None]
)
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "record.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"record\.json"):
        read_record(path)


def test_records_of_the_first_design_are_converted(tmp_path: Path) -> None:
    lines = gzip.decompress((Path(__file__).parent / "records-0.5.0.jsonl.gz").read_bytes())
    path = tmp_path / "record.json"
    for line in lines.splitlines():
        old = json.loads(line)
        path.write_bytes(line)
        record = read_record(path)
        write_record(path, record)
        new = json.loads(path.read_bytes())
        for measurement in old["history"]:
            measurement.setdefault("digests", {})
        old.pop("company", None)
        old["config"]["model"].pop("forms", None)
        assert {"bank": None, "git_sha": None, "threads": None} | old | {"schema": SCHEMA} == new
        assert read_record(path) == record


def test_settings_of_the_first_design_get_their_new_names() -> None:
    old = {"forms": "rule", "remedies": [{"class_path": "ganstoch.remedies.Replay"}]}
    new = {"remedies": [{"class_path": "ganstoch.remedies.ExperienceReplay"}]}
    converted = converted_config({"model": old, "remedy": "hinge+replay"})
    assert converted == {"model": new, "remedy": "hinge+experience_replay"}


def test_a_terminal_obeys_no_name_and_a_whole_number_is_a_float_too(path: Path) -> None:
    edit(path, lambda c: c.update(dataset="\x1b[2Jdigits", noise=0))
    record = read_record(path)
    assert record.dataset.isprintable()
    assert isinstance(record.noise, float)


@pytest.mark.parametrize("call", ["replace", "fsync", "chmod"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: Any, **__: Any) -> None:
        assert path.read_bytes() == b"old"  # as a reader sees it now
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(UserError, match=f"{path}.*full"):
            write_atomically(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_place_that_is_a_file_cannot_be_written_into(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(UserError, match=r"record\.json"):
        write_atomically(tmp_path / "run" / "record.json", b"")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_permissions_are_what_the_user_has_set(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
