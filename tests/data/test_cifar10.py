from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganstoch.data import CIFAR10
from ganstoch.errors import UserError

NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes bytes and strings as Python 2, which made the published files, wrote its ``str``."""

    def save_str(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)

    dispatch: ClassVar[dict[type, Any]] = {
        **pickle._Pickler.dispatch,  # type: ignore[attr-defined]
        str: save_str,
        bytes: save_str,
    }


def python2(batch: dict[bytes, Any]) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(batch)
    return file.getvalue()


def python3(batch: dict[bytes, Any]) -> bytes:
    return pickle.dumps(batch, protocol=2)


@pytest.fixture
def root(tmp_path: Path, noise: Callable[[int], NDArray[np.uint8]]) -> Path:
    """Six batches of two images; batch i holds the labels i and 0."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        batch = {b"batch_label": b"x", b"labels": [i, 0], b"data": noise(2).reshape(2, 3072)}
        (folder / name).write_bytes(python2(batch))
    return tmp_path


@pytest.mark.parametrize("write", [python2, python3])
def test_reads_the_published_format(
    root: Path, write: Callable[[dict[bytes, Any]], bytes], noise: Callable[[int], Any]
) -> None:
    expected = noise(2)
    batch = {b"labels": [7, 9], b"data": expected.reshape(2, 3072), b"filenames": [b"a", b"b"]}
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(write(batch))
    images = CIFAR10().open(root, "train")
    assert len(images) == 10
    assert torch.equal(images.read(torch.tensor([4, 5])), torch.from_numpy(expected))
    assert images.labels is not None
    assert images.labels.tolist() == [0, 0, 1, 0, 7, 9, 3, 0, 4, 0]
    assert images.classes[:2] == ("airplane", "automobile")
    assert len(images.classes) == 10


def test_held_out_is_the_test_batch(root: Path) -> None:
    images = CIFAR10().open(root, "held_out")
    assert len(images) == 2
    assert images.labels is not None
    assert images.labels.tolist() == [5, 0]
    assert images.names(torch.tensor([1])) == ("held_out/1",)


def test_runs_nothing_that_a_file_asks_for(root: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (root / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(UserError, match=r"test_batch is damaged .*mkdir.*ganstoch prepare cifar10"):
        CIFAR10().open(root, "held_out")
    assert not (tmp_path / "sprung").exists()


PIXELS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        python3({b"data": PIXELS, b"labels": [0, 1]})[:-2000],
        python3({b"data": PIXELS}),
        python3({b"data": PIXELS[:, :-1], b"labels": [0, 1]}),
        python3({b"data": PIXELS.astype(np.float32), b"labels": [0, 1]}),
        python3({b"data": PIXELS, b"labels": [0, 1, 2]}),
        python3({b"data": PIXELS, b"labels": [0, 10]}),
        python3({b"data": PIXELS, b"labels": [-1, 1]}),
        pickle.dumps([1, 2], protocol=2),
    ],
    ids=range(10),
)
def test_names_a_damaged_batch(root: Path, content: bytes) -> None:
    (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(content)
    with pytest.raises(
        UserError, match=rf"data_batch_2 is damaged .*prepare cifar10 --root {root}"
    ):
        CIFAR10().open(root, "train")
    assert len(CIFAR10().open(root, "held_out")) == 2


def test_names_a_missing_batch_or_folder(root: Path) -> None:
    (root / "cifar-10-batches-py" / "data_batch_5").unlink()
    with pytest.raises(UserError, match=r"no .*data_batch_5; run: ganstoch prepare cifar10"):
        CIFAR10().open(root, "train")
    with pytest.raises(UserError, match=r"cifar-10-batches-py does not exist; --data.root"):
        CIFAR10().open(root / "elsewhere", "train")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def published(root: Path, web: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small batches as an archive on the web, and torchvision made to believe in them."""
    from torchvision.datasets import CIFAR10 as Published

    site, url = web
    folder = root / "cifar-10-batches-py"
    sums = [[name, md5(folder / name)] for name in NAMES]
    with tarfile.open(site / Published.filename, "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-py")
    monkeypatch.setattr(Published, "url", url + Published.filename)
    monkeypatch.setattr(Published, "tgz_md5", md5(site / Published.filename))
    monkeypatch.setattr(Published, "train_list", sums[:5])
    monkeypatch.setattr(Published, "test_list", sums[5:])
    return root


def test_prepare_downloads_and_mends(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    CIFAR10().prepare(target)
    assert len(CIFAR10().open(target, "train")) == 10
    batch = target / "cifar-10-batches-py" / "data_batch_1"
    content = bytearray(batch.read_bytes())
    content[-100] ^= 1  # one bit of one pixel, which only the checksum can notice
    batch.write_bytes(content)
    CIFAR10().prepare(target)
    assert md5(batch) == md5(published / "cifar-10-batches-py" / "data_batch_1")
    assert [path.name for path in target.iterdir() if path.name.startswith(".")] == []


def test_prepare_is_content_with_sound_files(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR10 as Published

    monkeypatch.setattr(Published, "url", "http://127.0.0.1:1/")
    CIFAR10().prepare(published)


def test_prepare_leaves_nothing_of_a_wrong_download(published: Path, tmp_path: Path) -> None:
    from torchvision.datasets import CIFAR10 as Published

    (published / "web" / Published.filename).write_bytes(b"a log-in page")
    with pytest.raises(UserError, match=r"cannot download http://.*by hand to"):
        CIFAR10().prepare(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
