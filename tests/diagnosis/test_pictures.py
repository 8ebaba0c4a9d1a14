"""Samples kept along a run: which looks, how many, in what range, and back from a file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.diagnosis import History, Signals
from ganstoch.diagnosis import pictures as module
from ganstoch.diagnosis.pictures import Pictures, best_look
from ganstoch.errors import UserError

WELL = Signals(iteration=0, diversity=1.0, isolation=1.0, collisions=0.05, drift=0.4, reach=1.2)
ONE: dict[str, Any] = {"diversity": 0.01, "isolation": 0.01, "collisions": 1.0}


def kept(look: Callable[[int], dict[str, Any]], *, looks: int = 12) -> Pictures:
    """Of a run whose look number i is at iteration 10 i, and whose samples are all i."""
    history, pictures = History(), Pictures()
    for i in range(1, looks + 1):
        history.add(dataclasses.replace(WELL, iteration=10 * i, **look(i)))
        pictures.look(10 * i, torch.full((2, 3, 2, 2), i, dtype=torch.uint8), history)
    assert all((each == at // 10).all() for at, each in pictures.looks.items())
    return pictures


def test_the_best_look_the_onset_and_the_last_ones_stay() -> None:
    collapse = kept(lambda i: {"closeness": 2 - 0.1 * i} if i < 6 else {"closeness": 2.0, **ONE})
    assert {*collapse.looks} == {50, 60, 90, 100, 110, 120}  # stalled since 90
    passing = kept(lambda i: {"closeness": 2 - 0.1 * i, **(ONE if 3 <= i < 7 else {})})
    assert {*passing.looks} == {100, 110, 120}


def test_of_equal_looks_the_first_is_the_best_and_none_without_quality() -> None:
    looks = [Signals(iteration=i, closeness=c, reach=1.0) for i, c in enumerate((3.0, 1.0, 1.0))]
    best = best_look([Signals(iteration=9, closeness=float("nan"), reach=1.0), *looks])
    assert best == looks[1]
    assert best_look([WELL]) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def size(samples: Tensor) -> int:
        pictures = Pictures(samples)
        assert pictures.real is not None
        assert pictures.real.untyped_storage().nbytes() == pictures.real.nbytes
        return len(pictures.real)

    assert size(torch.zeros(1000, 1, 4, 4, dtype=torch.uint8)) == module.SAMPLES
    assert size(torch.zeros(1000, 7)) == module.SAMPLES
    monkeypatch.setattr(module, "BYTES", 160)
    assert size(torch.zeros(1000, 1, 4, 4)) == 10  # a byte a pixel
    assert size(torch.zeros(1000, 4)) == 10  # four bytes a number
    assert size(torch.zeros(3, 1000)) == 1


@pytest.mark.parametrize(
    ("low", "high", "middle"), [(0.0, 1.0, 64), (-1.0, 1.0, 159), (0.0, 255.0, 64)]
)
def test_images_are_of_the_range_of_real_ones(low: float, high: float, middle: int) -> None:
    pictures, history = Pictures(torch.tensor([low, high]).reshape(2, 1, 1, 1)), History()
    assert pictures.real is not None
    assert pictures.real.flatten().tolist() == [0, 255]
    history.add(dataclasses.replace(WELL, iteration=1))
    samples = torch.tensor([low, 0.25 * max(1.0, high), high, 7.0 * high, float("nan")])
    pictures.look(1, samples.reshape(5, 1, 1, 1), history)
    assert pictures.looks[1].flatten()[:4].tolist() == [0, middle, 255, 255]


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (5, 4, 4, 4), (5, 2), (5, 8, 9), (5,)])
def test_a_file_gives_back_what_was_kept(shape: tuple[int, ...], tmp_path: Path) -> None:
    samples, history = torch.rand(shape, generator=torch.Generator().manual_seed(0)), History()
    first = Pictures(samples, names=["a", "b = c"])
    history.add(dataclasses.replace(WELL, iteration=30))
    first.look(30, samples, history)
    first.save(tmp_path / "kept.npz")
    again = Pictures.load(tmp_path / "kept.npz")
    assert (again.names, {*again.looks}) == (("a", "b = c"), {30})
    assert again.looks[30].dtype == first.looks[30].dtype
    assert torch.equal(again.looks[30], first.looks[30])
    assert again.real is not None
    assert torch.equal(again.real, first.looks[30])


WRONG = {
    "an object": {"10": np.array([{}, {}], dtype=object)},
    "doubles": {"10": np.zeros((2, 2))},
    "a number": {"10": np.float32(1)},
    "no pixels": {"10": np.zeros((2, 3, 0, 0), np.uint8)},
    "too many": {"10": np.zeros((65, 2), np.float32)},
    "no iteration": {"ten": np.zeros((2, 2), np.float32)},
}


@pytest.mark.parametrize("name", [*WRONG, "damaged", "text", "too large", "nothing"])
def test_a_file_of_something_else_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.npz"
    if name == "text":
        path.write_text("text")
    elif name == "too large":
        monkeypatch.setattr(module, "_FILE", 1000)
        np.savez_compressed(path, real=np.zeros((64, 1000), np.float32))
    elif name == "damaged":
        np.savez_compressed(path, **{"10": np.random.default_rng(0).random((9, 99), np.float32)})
        content = bytearray(path.read_bytes())
        content[100:200] = bytes(100)
        path.write_bytes(content)
    elif name != "nothing":
        np.savez(path, allow_pickle=True, **WRONG[name])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=str(path)):
        Pictures.load(path)
