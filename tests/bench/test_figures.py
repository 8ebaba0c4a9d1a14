"""The figures of the bench: what is counted is counted right; times are not tested."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ganstoch.bench import estimate as estimating
from ganstoch.bench import figures, report
from ganstoch.bench.figures import FULL, Figure, Scale, _Contest, _slope, count_flops
from ganstoch.bench.overhead import lightning_overhead
from ganstoch.bench.players import make_game, make_reference
from ganstoch.bench.race import in_turns
from ganstoch.bench.search import race_search
from ganstoch.cli import main
from ganstoch.training.gan import GAN

KEYS = [
    "flops_ratio",
    "fp32_speedup_m50",
    "fp32_speedup_m200",
    "bf16_speedup",
    "bf16_vs_bf16_speedup",
    "fp32_peak_share",
    "lightning_overhead",
    "diagnosis_price",
    "deterministic_time",
    "cost_exponent",
    "memory_ratio",
    "nn_speedup",
]
TINY = Scale(16, 4, 8, (4, 8, 16), (16,), 1, 64, 8)


def test_flops_of_known_operations() -> None:
    a, b, into = torch.zeros(3, 5), torch.zeros(5, 7), torch.zeros(3, 7)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    assert count_flops(lambda: into.addmm_(a, b)) == 2 * 3 * 5 * 7
    x, w = torch.zeros(2, 3, 8, 8), torch.zeros(4, 3, 5, 5)
    assert count_flops(lambda: F.conv2d(x, w, padding=2)) == 2 * 2 * 64 * 4 * 75


def test_at_most_half_of_the_plain_loops_arithmetic() -> None:
    """The paper's networks, whose operations grow with the batch."""
    game = make_game(latent_dim=512, width=1024)
    contest = _Contest(game, make_reference(game), 4, torch.device("cpu"))
    ours, theirs = count_flops(contest.ours), count_flops(contest.theirs)
    assert ours / theirs <= 0.50


def test_slope_of_a_power() -> None:
    assert _slope({m: 3.0 * m**1.25 for m in (50, 200, 800)}) == pytest.approx(1.25)


def test_turns_alternate_and_the_first_does_not_count() -> None:
    calls: list[str] = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert set(times) == {"a", "b"}


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("k", 2.0, 2.0, None, ""), True),
        (Figure("k", 1.9, 2.0, None, ""), False),
        (Figure("k", 1.0, None, 1.0, ""), True),
        (Figure("k", 1.1, None, 1.0, ""), False),
    ],
)
def test_goals(figure: Figure, met: bool) -> None:
    assert figure.met is met


def test_the_search_finds_what_faiss_finds() -> None:
    _, words = race_search(n=300, queries=40, rounds=1)
    assert "40 of 40 ids the same" in words


def test_the_overhead_is_what_the_loop_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that sleeps makes the share small; a loop that does would make it large."""
    game = make_game(latent_dim=16, width=16)
    share = lightning_overhead(game, m=4, iterations=3)
    assert share > 0.0
    step = GAN.training_step

    def slow(self: GAN, *args: object) -> None:
        time.sleep(0.2)
        step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(GAN, "training_step", slow)
    assert lightning_overhead(make_game(latent_dim=16, width=16), m=4, iterations=3) < share


def test_every_figure_in_order_and_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "QUICK", TINY)
    monkeypatch.setattr(report, "equality", lambda: {"taps": 1e-15, "broken": 1e-3})
    assert main(["bench", "--quick", "--json", str(tmp_path / "bench.json")]) == 0
    content = json.loads((tmp_path / "bench.json").read_text())
    assert list(content)[: len(KEYS)] == KEYS
    assert all(content[key] > 0 for key in KEYS)
    assert content["quick"] is True
    assert content["equality"] == {"taps": 1e-15, "broken": 1e-3}
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1 : len(KEYS) + 1]] == KEYS
    assert "more than 1e-09: a defect" in out
    assert "--quick: networks of width 16 instead of the paper's 1024" in out


def test_the_full_scale_is_the_papers() -> None:
    assert (FULL.width, FULL.small, FULL.large) == (1024, 50, 200)
    assert FULL.sizes == (50, 200, 800, 3200)
    assert FULL.memory == (3200, 12_800)
    assert FULL.rounds >= 5
    assert FULL.images == 12_800
    assert figures.LATENT_DIM == 512


def test_estimate_prices_every_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "--estimate", "--preset", "mini"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("preset mini, per data set and seed, on ")
    rows = [line.split() for line in lines[2:7]]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("64", "0", "2,500"),
        ("16", "0", "2,500"),
        ("4", "0", "2,500"),
        ("1", "0", "2,500"),
        ("64", "0.5", "2,500"),
    ]
    per_iteration = [float(row[2]) for row in rows]
    assert per_iteration[0] > per_iteration[1] > per_iteration[3] > 0
    assert lines[7].startswith("all rows: ")
    assert lines[8].startswith("roofline, not a measurement: ")
    assert len(lines) == 9 + len(estimating.ACCELERATORS)


@pytest.mark.parametrize(
    ("spent", "words"), [(1.0, "1.0 s"), (300, "5.0 min"), (8000, "2.2 h"), (3e5, "3.5 days")]
)
def test_durations(spent: float, words: str) -> None:
    assert estimating._duration(spent) == words
