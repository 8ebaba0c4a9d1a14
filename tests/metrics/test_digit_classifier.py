from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.digit_classifier import (
    DigitClassifier,
    accuracy,
    classify_stacks,
    load_classifier,
    serialize,
    train_classifier,
)
from ganstoch.metrics.modes import make_mode_scorer
from ganstoch.rng import rng_for
from ganstoch.types import StackedClasses

MADE_BY = "ganstoch prepare toys --root here"


def toys(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Images of ten classes that a bright bar, at a height of its own, tells apart."""
    rng = rng_for(seed, "evaluation", part="toys")
    labels = torch.randint(10, (count,), generator=rng)
    images = torch.randint(60, (count, 28, 28), generator=rng)
    for row in range(2):
        images[torch.arange(count), 4 + 2 * labels + row] += 190
    return images.to(torch.uint8), labels


@pytest.fixture(scope="module")
def classifier() -> DigitClassifier:
    return train_classifier(*toys(2000, seed=0), epochs=2)


@pytest.fixture
def file(tmp_path: Path, classifier: DigitClassifier) -> Path:
    path = tmp_path / "judge.pt"
    path.write_bytes(serialize(classifier))
    return path


def test_learns(classifier: DigitClassifier) -> None:
    images, labels = toys(500, seed=1)
    assert accuracy(classifier, images, labels) > 0.98
    assert accuracy(classifier, images, (labels + 1) % 10) < 0.02
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_a_function_of_its_arguments() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    few = toys(256, seed=0)
    one, again, other = (train_classifier(*few, seed=seed, epochs=1) for seed in (1, 1, 2))
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(one.last.weight, other.last.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_names_stacks(classifier: DigitClassifier) -> None:
    images, labels = toys(300, seed=2)
    stacks, classes = images.reshape(100, 3, 28, 28), labels.reshape(100, 3)
    ids, sure = classify_stacks(classifier, stacks)
    expected = 100 * classes[:, 0] + 10 * classes[:, 1] + classes[:, 2]
    assert (ids == expected).float().mean() > 0.95
    with torch.no_grad():
        floats = stacks.float() / 127.5 - 1
        shares = classifier(floats.reshape(300, 1, 28, 28)).softmax(1).amax(1).reshape(100, 3)
    assert torch.allclose(sure, shares[:, 0] * shares[:, 1] * shares[:, 2], atol=1e-5)


def test_what_is_no_number_is_black(classifier: DigitClassifier) -> None:
    broken = classify_stacks(classifier, torch.full((2, 3, 28, 28), torch.nan))
    black = classify_stacks(classifier, torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    assert torch.equal(broken[0], black[0])


def test_comes_back_from_its_files(file: Path, classifier: DigitClassifier) -> None:
    loaded = load_classifier(file, made_by=MADE_BY)
    images = toys(50, seed=4)[0].reshape(-1, 1, 28, 28).float()
    assert torch.equal(loaded(images), classifier(images))


def test_missing(tmp_path: Path) -> None:
    world = StackedClasses(samples=100, classifier=tmp_path / "judge.pt", made_by=MADE_BY)
    with pytest.raises(UserError, match=MADE_BY):
        make_mode_scorer(world)


def test_damaged(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=MADE_BY):
        load_classifier(file, made_by=MADE_BY)
