"""What the bench counts is counted right; times are not tested."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ganstoch.bench import goals, report
from ganstoch.bench.costs import diagnosis_price, lightning_overhead
from ganstoch.bench.equality import Contest, make_gan, make_reference
from ganstoch.bench.goals import Goal, Scale, count_flops, has_bf16
from ganstoch.bench.search import race_search
from ganstoch.bench.timing import in_turns
from ganstoch.callbacks.diagnosis import Diagnosis, DiagnosisSettings
from ganstoch.callbacks.progress import LossLogger
from ganstoch.cli import main
from ganstoch.training.gan import GAN

TINY = Scale(16, 4, 8, (4, 8, 16), (16,), 1, 64, 8)


def test_flops_of_known_operations() -> None:
    a, b, into = torch.zeros(3, 5), torch.zeros(5, 7), torch.zeros(3, 7)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    assert count_flops(lambda: into.addmm_(a, b)) == 2 * 3 * 5 * 7
    x, w = torch.zeros(2, 3, 8, 8), torch.zeros(4, 3, 5, 5)
    assert count_flops(lambda: F.conv2d(x, w, padding=2)) == 2 * 2 * 64 * 4 * 75


def test_at_most_half_of_the_plain_loops_arithmetic() -> None:
    gan = make_gan(latent_dim=512, width=1024)
    contest = Contest(gan, make_reference(gan), 2)
    assert count_flops(contest.ours) / count_flops(contest.theirs) <= 0.50


def test_turns_alternate_and_the_first_does_not_count() -> None:
    calls: list[str] = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert set(times) == {"a", "b"}


def test_bf16_goals_apply_where_it_is_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, expected in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert has_bf16(torch.device("cpu")) is expected
        assert has_bf16(torch.device("cuda"))


def test_the_search_finds_what_faiss_finds() -> None:
    _, words = race_search(n=300, queries=40, rounds=1)
    assert "40 of 40 ids the same" in words


def sleep_in(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, seconds: float) -> None:
    """Has a method take longer."""
    inner: Any = getattr(owner, method)

    def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return inner(self, *args, **kwargs)

    monkeypatch.setattr(owner, method, slow)


def test_the_overhead_is_what_the_loop_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep_in(monkeypatch, GAN, "training_step", 0.3)
    assert lightning_overhead(make_gan(latent_dim=16, width=16), m=4, iterations=3) < 0.5
    sleep_in(monkeypatch, LossLogger, "on_train_batch_end", 0.6)
    assert lightning_overhead(make_gan(latent_dim=16, width=16), m=4, iterations=3) > 0.5


def test_measuring_is_priced_by_the_default_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep_in(monkeypatch, GAN, "training_step", 0.3)
    sleep_in(monkeypatch, Diagnosis, "measure", 3.0)
    price = diagnosis_price(make_gan(latent_dim=16, width=16), m=4, iterations=2)
    assert price == pytest.approx(3.0 / DiagnosisSettings().every / 0.3, rel=0.6)


def test_every_goal_in_the_table_and_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bounds = ((2.0, ">=", 2.0), (1.9, ">=", 2.0), (1.0, "<=", 1.0), (1.1, "<=", 1.0))
    assert [Goal("k", *bound, "").met for bound in bounds] == [True, False, True, False]
    monkeypatch.setattr(report, "QUICK", TINY)
    monkeypatch.setattr(report, "equality", lambda: {"whole": 1e-15, "broken": 1e-3})
    monkeypatch.setattr(goals, "has_bf16", lambda device: False)
    assert main(["bench", "--quick", "--json", str(tmp_path / "bench.json")]) == 0
    content = json.loads((tmp_path / "bench.json").read_text())
    keys = list(content["what"])
    assert {"flops_ratio", "fp32_speedup_m200", "nn_speedup", "memory_ratio"} < set(keys)
    assert all(content[key] > 0 for key in keys)
    assert content["not_applicable"] == ["bf16_speedup", "bf16_vs_bf16_speedup"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(keys) + 1]] == keys
    assert [line.split()[0] for line in lines if "defect" in line] == ["broken"]


def test_estimate_prices_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--estimate", "--preset", "mini"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[2:7]]
    assert [row[0] for row in rows] == ["64", "16", "4", "1", "64"]
    assert {row[3] for row in rows} == {"2,500"}
    per_iteration = [float(row[2]) for row in rows]
    assert per_iteration[0] > per_iteration[1] > per_iteration[3] > 0
    assert len(lines) == 8
