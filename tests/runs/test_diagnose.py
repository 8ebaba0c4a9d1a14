"""`ganstoch diagnose`: from a run's files to its page and one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.diagnosis import Signals
from ganstoch.diagnosis.pictures import Pictures
from ganstoch.diagnosis.signals import to_columns

Ganstoch = Callable[..., Any]
HISTORY = [Signals(iteration=i, broken="generator.0, iteration 2") for i in (2, 3)]
CONTENT = {"verdict": "non_finite", "acts": [], "signals": to_columns(HISTORY)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "diagnosis.json").write_text(json.dumps(CONTENT))
    return tmp_path / "run"


def test_the_page_is_written_and_the_verdict_printed(run: Path, ganstoch: Ganstoch) -> None:
    pictures = Pictures(torch.zeros(4, 1, 4, 4))
    pictures.looks[3] = torch.ones(4, 1, 4, 4, dtype=torch.uint8)
    pictures.save(run / "diagnosis.npz")
    for words, page in (
        ((), run / "diagnosis.html"),
        (("--out", run / "a" / "b.html"), run / "a" / "b.html"),
    ):
        answer = ganstoch("diagnose", run, *words)
        assert answer.status == 0
        assert len(answer.out.splitlines()) == 1
        assert "non_finite since iteration 2 " in answer.out
        html = page.read_text()
        assert "<h1>Non finite</h1>" in html
        assert html.count("<img") == 2


def test_acts_notes_and_another_verdict_then_are_told(run: Path, ganstoch: Ganstoch) -> None:
    more: dict[str, Any] = {"verdict": "stalled", "acts": [{"words": "stopped at 3"}]}
    more |= {"notes": ["sample failed"], "not_judged": {"memorization": "held_out"}}
    (run / "diagnosis.json").write_text(json.dumps(CONTENT | more))
    assert ganstoch("diagnose", run).status == 0
    html = (run / "diagnosis.html").read_text()
    for words in ("stopped at 3", "sample failed", "stalled", "<code>held_out</code>"):
        assert words in html


DAMAGED = {
    "no JSON": "{",
    "a list": "[]",
    "no signals": json.dumps({"verdict": "healthy", "acts": []}),
    "other signals": json.dumps(CONTENT | {"signals": {"iteration": [1], "warmth": [2.0]}}),
    "text for numbers": json.dumps(CONTENT | {"signals": {"iteration": [1], "gap": ["a"]}}),
    "no iteration": json.dumps(CONTENT | {"signals": {"iteration": [None]}}),
    "lengths": json.dumps(CONTENT | {"signals": {"iteration": [1, 2], "gap": [0.5]}}),
}


@pytest.mark.parametrize("name", [*DAMAGED, "missing", "samples"])
def test_a_damaged_run_is_refused_in_one_line(name: str, run: Path, ganstoch: Ganstoch) -> None:
    if name == "samples":
        (run / "diagnosis.npz").write_text("text")
    elif name == "missing":
        (run / "diagnosis.json").unlink()
    else:
        (run / "diagnosis.json").write_text(DAMAGED[name])
    answer = ganstoch("diagnose", run)
    assert answer.status == 2
    assert str(run) in answer.complaint
    assert not (run / "diagnosis.html").exists()
