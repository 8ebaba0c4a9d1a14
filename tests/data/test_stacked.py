import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.data import StackedFashion, StackedMNIST
from ganstoch.data.stacked import StackedImages
from ganstoch.types import StackedClasses

Make = Callable[..., Any]


@pytest.fixture
def root(tmp_path: Path, write_grey: Make) -> Path:
    """60 training and 40 test images in files as published, no two alike."""
    write_grey(tmp_path / "files", train=60, t10k=40)
    return tmp_path / "files"


def all_of(images: StackedImages) -> Tensor:
    return images.read(torch.arange(len(images)))


def find(stacks: Tensor, singles: Tensor) -> Tensor:
    """Which single image each channel is, (N, 3); fails if one is none of them."""
    same = (stacks[:, :, None] == singles).flatten(3).all(3)
    assert (same.sum(2) == 1).all()
    return same.int().argmax(2)


@pytest.mark.parametrize("kind", [StackedMNIST, StackedFashion])
def test_stacks_are_triples_with_their_labels(kind: type[StackedMNIST], root: Path) -> None:
    source = kind(size=500)
    images = source.open(root, "train")
    stacks = all_of(images)
    assert (stacks.shape, stacks.dtype) == ((500, 3, 28, 28), torch.uint8)
    train, test = source.singles(root, "train"), source.singles(root, "held_out")
    members = find(stacks, torch.cat([train[0], test[0]]))
    a, b, c = torch.cat([train[1], test[1]])[members].T
    assert torch.equal(images.labels, 100 * a + 10 * b + c)
    assert len(torch.unique(members)) == 100  # test images too, and every one of them
    assert images.names(torch.tensor([3])) == ("train/3",)
    assert torch.equal(all_of(kind(size=500).open(root, "train")), stacks)
    assert not torch.equal(all_of(kind(size=500, seed=1).open(root, "train")), stacks)
    assert kind(protocol="unrolled", size=10, seed=2).label == f"{kind.name}-unrolled-size10-seed2"


def test_held_out_stacks(root: Path) -> None:
    veegan = StackedMNIST(size=300)
    train, held_out = all_of(veegan.open(root, "train")), all_of(veegan.open(root, "held_out"))
    assert len(held_out) == 300
    assert not torch.equal(train, held_out)
    unrolled = StackedMNIST(protocol="unrolled", size=300)
    assert find(all_of(unrolled.open(root, "train")), unrolled.singles(root, "train")[0]).max() < 60
    find(all_of(unrolled.open(root, "held_out")), unrolled.singles(root, "held_out")[0])
    assert len(StackedMNIST().open(root, "train")) == 128_000
    assert len(StackedMNIST().open(root, "held_out")) == 10_000


def test_world(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    world = StackedMNIST().known_modes(root)
    judge = root / "ganstoch-cache" / "judge-stacked_mnist.pt"
    assert world == StackedClasses(26_000, judge, f"ganstoch prepare stacked_mnist --root {root}")
    assert StackedMNIST(protocol="unrolled").known_modes(root).samples == 25_600
    # Of a root that may not be written to, the judge lies in the user's cache.
    mine = tmp_path / "cache" / "ganstoch" / hashlib.sha256(bytes(root.resolve())).hexdigest()[:16]
    mine.mkdir(parents=True)
    (mine / judge.name).touch()
    assert StackedMNIST().known_modes(root).classifier == mine / judge.name
    judge.parent.mkdir()
    judge.touch()
    assert StackedMNIST().known_modes(root).classifier == judge
