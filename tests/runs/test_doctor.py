from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.runs import doctor as module
from ganstoch.runs.doctor import NEEDED, Finding, examine

ITEMS = ["CPU", "GPU", "FAISS", "W&B login", "Inception weights"]
POINTS = ["bimodal", "gaussians1200", "grid", "ring"]
SETS = sorted(
    [
        *POINTS,
        "cifar10",
        "digits",
        "fashion_mnist",
        "ffhq",
        "stacked_fashion",
        "stacked_mnist",
        "svhn",
    ]
)


@pytest.fixture(autouse=True)
def bare(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU or weights."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))


def test_lists_every_item(here: Path) -> None:
    findings = list(examine(here / "data"))
    assert [finding.name for finding in findings] == ITEMS + SETS
    here = {finding.name for finding in findings if finding.here}
    assert here == {"CPU", "FAISS", "digits", *POINTS}
    assert all(finding.words for finding in findings)
    assert {name for names in NEEDED.values() for name in names} <= {*ITEMS, *SETS}


def test_says_what_mends_what_is_missing(here: Path) -> None:
    words = {finding.name: finding.words for finding in examine(here / "data")}
    assert f"ganstoch prepare cifar10 --root {here / 'data'}" in words["cifar10"]
    assert "ganstoch prepare inception" in words["Inception weights"]
    assert "wandb login" in words["W&B login"]
    assert words["digits"] == "1,797 images"
    assert words["ring"] == "100,000 examples of known modes"


def test_mini_can_run_anywhere(ganstoch: Callable[..., Any]) -> None:
    answer = ganstoch("doctor")
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert "preset mini" in lines[0]
    assert len(lines) == len(ITEMS + SETS) + 2
    assert "NEEDED" not in answer.out
    assert lines[-1] == "preset mini can run"


def test_paper_needs_its_data_and_a_gpu(ganstoch: Callable[..., Any]) -> None:
    answer = ganstoch("doctor", "--preset", "paper", "--root", "nowhere")
    assert (answer.status, answer.err) == (1, "")
    last = answer.out.splitlines()[-1]
    assert last == "preset paper cannot run as meant without: GPU, cifar10, ffhq, svhn"
    assert answer.out.count("NEEDED") == 4
    assert ganstoch("doctor", "--preset", "small").status == 1


@pytest.mark.parametrize("preset", NEEDED)
def test_every_preset_can_run_where_everything_is(
    preset: str, ganstoch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything(root: Path) -> Iterator[Finding]:
        return (Finding(name, True, "here") for name in ITEMS + SETS)

    monkeypatch.setattr(module, "examine", everything)
    assert ganstoch("doctor", "--preset", preset).status == 0


def test_inception_weights_are_found(here: Path) -> None:
    path = module._inception().words.partition("; ")[2]
    assert path == "ganstoch prepare inception"
    weights = here / "torch" / "hub" / "checkpoints"
    weights.mkdir(parents=True)
    from ganstoch.metrics.features import INCEPTION_FILE

    (weights / INCEPTION_FILE).write_bytes(b"")
    assert module._inception() == Finding("Inception weights", True, str(weights / INCEPTION_FILE))
