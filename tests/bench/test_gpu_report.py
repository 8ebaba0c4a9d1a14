"""The report of a CUDA device, at toy size on the CPU."""

import json
from pathlib import Path

import pytest
import torch

from ganstoch.bench import gpu_report
from ganstoch.bench.gpu_report import DRY, main, race, race_search

CPU = torch.device("cpu")


def test_a_dry_run_writes_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands for tests that take half a minute to be skipped.
    outcomes = {"passed": ["a"], "failed": ["test_b"], "skipped": []}
    monkeypatch.setattr(gpu_report, "run_tests", lambda folder: outcomes)
    assert main(["--dry", "--out", str(tmp_path)]) == 1  # a test failed
    pictures = {"race.png", "curves.png", "neighbors.png"}
    assert {path.name for path in tmp_path.iterdir()} == pictures | {"report.json", "index.html"}
    content = json.loads((tmp_path / "report.json").read_bytes())
    assert content["dry"]
    assert content["search"]["same_ids"] == content["search"]["queries"]
    assert content["search"]["largest_difference"] < 1e-9
    assert [row["m"] for row in content["race"]] == [m for m in DRY.sizes for _ in range(4)]
    assert all(row["seconds"] > 0 for row in content["race"])
    assert content["row"]["n"] == DRY.images
    assert content["row"]["m"] == DRY.images // 4
    html = (tmp_path / "index.html").read_text()
    assert all(word in html for word in (*pictures, "test_b", "plain loop"))


def test_one_contestant_that_fails_ends_no_race(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, *, mixed: bool = False) -> None:
        raise torch.OutOfMemoryError("no memory\nleft")

    monkeypatch.setattr(gpu_report.Contest, "theirs", full)
    rows = race(DRY, CPU, until=0.0)
    failed = {row["contestant"]: row["failed"] for row in rows if "failed" in row}
    assert failed == dict.fromkeys(("plain loop", "plain loop, bf16"), "no memory")
    assert sum("seconds" in row for row in rows) == 4


def test_neighbours_are_compared_with_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    found = race_search(DRY, CPU)
    assert found["same_ids"] == found["queries"] == 1
    true = gpu_report._all_distances

    def others(query: torch.Tensor, bank: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        distances, ids = true(query, bank)
        return distances + 1, ids + 1

    monkeypatch.setattr(gpu_report, "_all_distances", others)
    wrong = race_search(DRY, CPU)
    assert wrong["same_ids"] == 0
    assert wrong["largest_difference"] == pytest.approx(1)


def test_without_a_device_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("a device is here")
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "--dry" in capsys.readouterr().err
