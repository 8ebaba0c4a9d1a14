from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganstoch.data import FashionMNIST
from ganstoch.errors import UserError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(values: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def grey(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)


def write(folder: Path, grey: NDArray[np.uint8], *, zipped: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix in ("train", "t10k"):
        files = {
            f"{prefix}-images-idx3-ubyte": idx(grey),
            f"{prefix}-labels-idx1-ubyte": idx(np.array([9, 0, 5], np.uint8)),
        }
        for name, content in files.items():
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("folder", [".", "FashionMNIST/raw", "fashion-mnist"])
def test_reads_the_published_format(
    tmp_path: Path, grey: NDArray[np.uint8], folder: str, zipped: bool
) -> None:
    write(tmp_path / folder, grey, zipped=zipped)
    images = FashionMNIST().open(tmp_path, "train")
    pixels = images.read(torch.arange(3))
    assert pixels.shape == (3, 3, 32, 32)
    for channel in range(3):
        assert torch.equal(pixels[:, channel, 2:30, 2:30], torch.from_numpy(grey))
    assert int(pixels.sum()) == 3 * int(grey.sum())  # so the frame is black
    assert images.labels is not None
    assert images.labels.tolist() == [9, 0, 5]
    assert images.classes[9] == "ankle-boot"
    assert len(FashionMNIST().open(tmp_path, "held_out")) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: b"",
        lambda whole: whole[:10],
        lambda whole: whole[:-1],
        lambda whole: whole + b"x",
        lambda whole: b"\0\0\x0d\x03" + whole[4:],  # floats
        lambda whole: b"\0\0\x08\x01" + whole[4:],
        lambda whole: struct.pack(">4I", 0x803, 0, 28, 28),
    ],
    ids=["empty", "header", "short", "long", "float", "one-dimension", "no-images"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_names_a_damaged_file(tmp_path: Path, grey: NDArray[np.uint8], change, zipped) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, grey, zipped=zipped)
    content = change(idx(grey))
    path = tmp_path / (IMAGES + ".gz" * zipped)
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(UserError, match=f"{path} is damaged .*ganstoch prepare fashion_mnist"):
        FashionMNIST().open(tmp_path, "train")


def test_names_a_damaged_archive(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    write(tmp_path, grey, zipped=True)
    path = tmp_path / f"{IMAGES}.gz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (whole[: len(whole) // 2], b"plain text", bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{path} is damaged"):
            FashionMNIST().open(tmp_path, "train")


def test_images_and_labels_must_agree(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    write(tmp_path, grey, zipped=False)
    for labels in ([1, 2], [1, 2, 10]):
        (tmp_path / LABELS).write_bytes(idx(np.array(labels, np.uint8)))
        with pytest.raises(UserError, match=r"the train files in .* hold images"):
            FashionMNIST().open(tmp_path, "train")
    (tmp_path / LABELS).write_bytes(idx(np.array([1, 2, 3], np.uint8)))
    (tmp_path / IMAGES).write_bytes(idx(grey[:, :27]))
    with pytest.raises(UserError, match=r"hold images \(3, 27, 28\)"):
        FashionMNIST().open(tmp_path, "train")


def test_names_a_missing_file_or_folder(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    write(tmp_path, grey, zipped=True)
    (tmp_path / f"{LABELS}.gz").unlink()
    with pytest.raises(UserError, match=f"no {LABELS} or {LABELS}.gz in {tmp_path}; run: ganstoch"):
        FashionMNIST().open(tmp_path, "train")
    with pytest.raises(UserError, match=r"gone does not exist; --data.root"):
        FashionMNIST().open(tmp_path / "gone", "train")


def test_prepare_downloads_what_is_missing(
    tmp_path: Path,
    grey: NDArray[np.uint8],
    web: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision.datasets import FashionMNIST as Published

    site, url = web
    write(site, grey, zipped=True)
    sums = [
        (path.name, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
        for path in sorted(site.iterdir())
    ]
    monkeypatch.setattr(Published, "mirrors", [url])
    monkeypatch.setattr(Published, "resources", sums)
    target = tmp_path / "new"
    FashionMNIST().prepare(target)
    assert len(FashionMNIST().open(target, "train")) == 3
    monkeypatch.setattr(Published, "mirrors", ["http://127.0.0.1:1/"])
    FashionMNIST().prepare(target)  # nothing to do
    FashionMNIST().prepare(site)
    (target / "FashionMNIST" / "raw" / f"{IMAGES}.gz").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot download http://127.0.0.1:1/"):
        FashionMNIST().prepare(target)
