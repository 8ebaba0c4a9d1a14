"""The audit's race: both sides give the same numbers, and a table and JSON hold the ratios."""

import json
from pathlib import Path

import pytest

from ganstoch.bench import audit
from ganstoch.bench.report import bench_audit

pytest.importorskip("prdc")


def test_both_sides_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_WIDTH", 24)
    for race in audit._races(200, 150, bound=1.0):
        assert race.ours() == pytest.approx(race.theirs(), rel=1e-5, abs=1e-6), race.key


def test_ratios_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "_WIDTH", 24)
    races = audit._races

    def small(*_: int, bound: float) -> list[audit.Race]:
        return races(100, 100, bound=bound)

    monkeypatch.setattr(audit, "_races", small)
    assert bench_audit(quick=True, file=tmp_path / "audit.json") == 0
    written = json.loads((tmp_path / "audit.json").read_text())
    printed = capsys.readouterr().out
    for race in small(bound=1.0):
        assert written[race.key] > 0
        assert race.key in printed
