from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat

from ganstoch.data import SVHN
from ganstoch.errors import UserError


def write(path: Path, pixels: NDArray[Any], labels: list[int]) -> None:
    """As published: X is (height, width, channel, image), y a column, the digit 0 is called 10."""
    content = {"X": pixels.transpose(2, 3, 1, 0), "y": np.array(labels, np.uint8)[:, None]}
    savemat(path, content, do_compression=True)


@pytest.fixture
def root(tmp_path: Path, noise: Callable[[int], NDArray[np.uint8]]) -> Path:
    write(tmp_path / "train_32x32.mat", noise(4), [10, 1, 9, 10])
    write(tmp_path / "test_32x32.mat", noise(2), [5, 6])
    return tmp_path


def test_reads_the_published_format(root: Path, noise: Callable[[int], Any]) -> None:
    expected = noise(4)
    write(root / "train_32x32.mat", expected, [10, 1, 9, 10])
    images = SVHN().open(root, "train")
    assert torch.equal(images.read(torch.tensor([2, 0])), torch.from_numpy(expected[[2, 0]]))
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 9, 0]
    assert images.classes == tuple("0123456789")
    held_out = SVHN().open(root, "held_out")
    assert held_out.labels is not None
    assert held_out.labels.tolist() == [5, 6]


def test_names_what_is_missing_or_damaged(root: Path, noise: Callable[[int], Any]) -> None:
    path = root / "train_32x32.mat"
    sound = path.read_bytes()
    fix = f"ganstoch prepare svhn --root {root}"
    for content in (b"", b"x" * 300, sound[:-100], sound[:200]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"train_32x32.mat is damaged .*{fix}"):
            SVHN().open(root, "train")
    write(path, noise(2), [0, 1])
    with pytest.raises(UserError, match=r"damaged \(y beyond 1 .. 10\)"):
        SVHN().open(root, "train")
    write(path, noise(2).astype(np.float32), [1, 1])
    with pytest.raises(UserError, match=r"damaged \(X is float32"):
        SVHN().open(root, "train")
    path.unlink()
    with pytest.raises(UserError, match=f"no {path}; run: {fix}"):
        SVHN().open(root, "train")
    with pytest.raises(
        UserError, match=r"gone does not exist; --data.root .*ganstoch prepare svhn"
    ):
        SVHN().open(root / "gone", "train")


def test_prepare_downloads_both_files(
    root: Path, web: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import SVHN as Published

    def entry(name: str) -> list[str]:
        md5 = hashlib.md5((root / name).read_bytes(), usedforsecurity=False).hexdigest()
        (web[0] / name).write_bytes((root / name).read_bytes())
        return [web[1] + name, name, md5]

    lists = {"train": entry("train_32x32.mat"), "test": entry("test_32x32.mat")}
    monkeypatch.setattr(Published, "split_list", lists)
    SVHN().prepare(root / "new")
    assert len(SVHN().open(root / "new", "train")) == 4
    assert len(SVHN().open(root / "new", "held_out")) == 2
