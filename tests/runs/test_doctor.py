from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.metrics.features.weights import INCEPTION_FILE
from ganstoch.runs.doctor import NEEDED, examine

ITEMS = ["CPU", "GPU", "FAISS", "W&B login", "Inception weights"]
POINTS = ["bimodal", "gaussians1200", "grid", "ring"]
SETS = ["cifar10", "digits", "fashion_mnist", "ffhq", "stacked_fashion", "stacked_mnist", "svhn"]
ITEMS += sorted([*POINTS, *SETS])


@pytest.fixture(autouse=True)
def bare(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU or weights."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))


def test_every_item_is_listed_with_what_mends_it(here: Path) -> None:
    weights = here / "torch" / "hub" / "checkpoints" / INCEPTION_FILE
    findings = list(examine(here / "data"))
    assert [name for name, _, _ in findings] == ITEMS
    present = {name for name, is_here, _ in findings if is_here}
    assert present == {"CPU", "FAISS", "digits", *POINTS}
    assert {name for names in NEEDED.values() for name in names} <= set(ITEMS)
    words = {name: text for name, _, text in findings}
    assert f"ganstoch prepare cifar10 --root {here / 'data'}" in words["cifar10"]
    assert "ganstoch prepare inception" in words["Inception weights"]
    assert "wandb login" in words["W&B login"]
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    assert ("Inception weights", True, str(weights)) in list(examine(here / "data"))


def test_mini_runs_anywhere_and_paper_needs_its_data_and_a_gpu(ganstoch: Any) -> None:
    answer = ganstoch("doctor")
    assert (answer.status, answer.err) == (0, "")
    assert "NEEDED" not in answer.out
    answer = ganstoch("doctor", "--preset", "paper", "--root", "nowhere")
    assert (answer.status, answer.err) == (1, "")
    assert answer.out.splitlines()[-1].endswith(": GPU, cifar10, ffhq, svhn")
    assert answer.out.count("NEEDED") == 4
