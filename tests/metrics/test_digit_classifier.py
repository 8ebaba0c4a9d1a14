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
from ganstoch.rng import rng_for


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


def test_learns(classifier: DigitClassifier) -> None:
    images, labels = toys(500, seed=1)
    assert accuracy(classifier, images, labels) > 0.98
    assert accuracy(classifier, images, (labels + 1) % 10) < 0.02
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_a_function_of_its_arguments() -> None:
    few, state = toys(256, seed=0), torch.get_rng_state()
    one, again, other = (serialize(train_classifier(*few, seed=s, epochs=1)) for s in (1, 1, 2))
    assert one == again != other
    assert torch.equal(torch.get_rng_state(), state)


def test_names_stacks(classifier: DigitClassifier) -> None:
    images, labels = toys(300, seed=2)
    stacks, classes = images.reshape(100, 3, 28, 28), labels.reshape(100, 3)
    ids, sure = classify_stacks(classifier, stacks)
    assert (ids == classes @ torch.tensor([100, 10, 1])).float().mean() > 0.95
    floats = stacks.float() / 127.5 - 1
    shares = classifier(floats.reshape(300, 1, 28, 28)).softmax(1).amax(1).reshape(100, 3)
    torch.testing.assert_close(sure, shares.prod(1))
    black = classify_stacks(classifier, torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    diverged = classify_stacks(classifier, torch.full((2, 3, 28, 28), torch.nan))
    assert torch.equal(diverged[0], black[0])


def test_files(classifier: DigitClassifier, tmp_path: Path) -> None:
    path, made_by = tmp_path / "judge.pt", "ganstoch prepare toys --root here"
    with pytest.raises(UserError, match=made_by):
        load_classifier(path, made_by=made_by)
    path.write_bytes(serialize(classifier))
    assert serialize(load_classifier(path, made_by=made_by)) == serialize(classifier)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=made_by):
        load_classifier(path, made_by=made_by)
