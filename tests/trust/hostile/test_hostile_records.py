"""Records, plans and states of runs that anybody may have written."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganstoch.runs.cases import CASES, trace_path

HOSTILE = settings(settings.get_profile("hostile"), max_examples=60)
WRONG = st.sampled_from(
    [
        *("", "x", "\x1b[2J", "\ud800", "<script>alert(1)</script>", "=1+1", "../../etc", "\0"),
        *(True, [], {}, [[]], {"a": {}}, [None], float("nan"), float("inf"), -float("inf")),
        *(-1, 10**400, -(10**400), 0.5, -0.5, "9" * 9999, ["x"] * 50, {"": 0}),
    ]
)
"""Values of which at least one is wrong wherever it is put."""

WHOLE = st.sampled_from(
    [
        *(b"", b"{", b"[]", b"null", b"3", b"{}", b"\xff\xfe", b"\0" * 99, b'{"schema": 1}'),
        *(b"[" * 10**5, b'{"a":' * 10**5, b"9" * 10**5, b'{"schema": 2, "schema": 1}', b"NaN"),
        *(b'{"schema": NaN}', b'{"schema": 1e999}', b'{"schema": "\\ud800"}', b'{"schema": true}'),
    ]
)


@pytest.fixture
def report(counted: Any) -> Iterator[Path]:
    """The folder of a report on one run."""
    out: Path = counted.folder / "report"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(counted.folder / "run", out / "runs/run", dirs_exist_ok=True)
    (out / "plan.json").write_text(json.dumps({"runs": ["runs/run"], "missing": []}))
    yield out
    shutil.rmtree(out)


def fields(content: Any, *, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value each of its parts is; of long lists the first."""
    places: list[tuple[Any, ...]] = [above] if above else []
    if isinstance(content, dict):
        for key, value in content.items():
            places += fields(value, above=(*above, key))
    elif isinstance(content, list) and content:
        places += fields(content[0], above=(*above, 0))
    return places


@HOSTILE
@given(where=st.integers(0, 10**6), value=WRONG, command=st.sampled_from(["table1", "remedies"]))
def test_a_records_field(where: int, value: Any, command: str, report: Path, counted: Any) -> None:
    path = report / "runs/run/record.json"
    whole = path.read_bytes()
    content = json.loads(whole)
    places = [place for place in fields(content) if place[0] not in ("config", "versions")]
    place = places[where % len(places)]
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    if not may_stand(place, value):
        path.write_text(json.dumps(content))
        counted.refuses(command, "--preset", "mini", "--report", "--out", report)
        path.write_bytes(whole)


def may_stand(place: tuple[Any, ...], value: Any) -> bool:
    """Whether a value is a right one: any word is a name, any finite number a measurement."""
    name = place[-1]
    if place[0] in ("metrics", "baseline") or name == "metrics" or "metrics" in place:
        return value in ({}, {"": 0}) or (
            isinstance(value, int | float) and not isinstance(value, bool)
        )
    if "digests" in place or name in ("digests", "history"):
        return isinstance(value, str) or value in ({}, [])
    if name in ("preset", "dataset", "hardware", "git_sha", "config_hash", "subset_sha256"):
        return isinstance(value, str)
    right = [("converged", True), ("seed", -1), ("noise", 0.5), ("seconds", 0.5)]
    return (name, value) in right or (name in ("git_sha", "bank", "threads") and value is None)


LEFT = {
    "report/plan.json": ["table1", "--preset=mini", "--report", "--out=report"],
    "report/runs/run/record.json": ["table1", "--preset=mini", "--report", "--out=report"],
    "report/runs/run/panels.npz": ["table1", "--preset=mini", "--report", "--out=report"],
    "run/record.json": ["verify", "run/record.json"],
    "run/run.json": ["fit"],
}
"""What a run or a table leaves, and a command that reads it."""


@settings(HOSTILE, max_examples=70)
@given(content=WHOLE | st.binary(max_size=50), name=st.sampled_from(sorted(LEFT)))
def test_a_whole_file(content: bytes, name: str, report: Path, counted: Any) -> None:
    path = counted.folder / name
    whole = path.read_bytes()
    path.write_bytes(content)
    counted.refuses(*(counted.fit if LEFT[name] == ["fit"] else LEFT[name]))
    path.write_bytes(whole)


@settings(HOSTILE, max_examples=20)
@given(key=st.sampled_from(["runs", "missing"]), value=WRONG)
def test_a_plan(key: str, value: Any, report: Path, counted: Any) -> None:
    content = {"runs": ["nowhere"], "missing": [], key: value}
    (report / "plan.json").write_text(json.dumps(content))
    counted.refuses("table1", "--preset", "mini", "--report", "--out", report)


@settings(HOSTILE, max_examples=20)
@given(content=WHOLE | st.binary(max_size=50))
def test_signals_of_labelled_runs(content: bytes, counted: Any) -> None:
    folder = counted.folder / "cases"
    folder.mkdir()
    for case in CASES:
        trace_path(folder, case, seed=0).write_bytes(content)
    counted.refuses("cases", "--report", "--out", folder)
    shutil.rmtree(folder)
