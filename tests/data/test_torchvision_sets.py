"""Small archives in the published formats, that torchvision is made to believe in."""

import gzip
import hashlib
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat
from torchvision import datasets

from ganstoch.data import CIFAR10, SVHN, FashionMNIST, Source, StackedFashion, StackedMNIST
from ganstoch.errors import UserError

Make = Callable[..., Any]
Patch = pytest.MonkeyPatch
Site = tuple[Path, NDArray[np.uint8]]

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
NOWHERE = "http://127.0.0.1:1/"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def names(what: str, root: Path) -> str:
    """A pattern: the fix names the data set and the root."""
    return rf"ganstoch prepare {what} --root {root}$"


@pytest.fixture
def cifar(tmp_path: Path, web: Any, noise: Make, monkeypatch: Patch) -> Site:
    """A root of six batches of two images, with their archive on the web; and their pixels."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = noise(12)
    for i, name in enumerate(BATCHES):
        batch = {"labels": [i, 9], "data": pixels[2 * i : 2 * i + 2].reshape(2, 3072)}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    classes = ["airplane", "automobile", *"abcdefgh"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": classes}, protocol=2))
    site, url = web
    published = datasets.CIFAR10
    with tarfile.open(site / published.filename, "w:gz") as tar:
        tar.add(folder, folder.name)
    sums = [[name, md5(folder / name)] for name in BATCHES]
    monkeypatch.setattr(published, "url", url + published.filename)
    monkeypatch.setattr(published, "tgz_md5", md5(site / published.filename))
    monkeypatch.setattr(published, "train_list", sums[:5])
    monkeypatch.setattr(published, "test_list", sums[5:])
    monkeypatch.setitem(published.meta, "md5", md5(folder / "batches.meta"))
    return tmp_path, pixels


def test_cifar10_keeps_the_order_of_the_batches(cifar: Site) -> None:
    root, pixels = cifar
    images = CIFAR10().open(root, "train")
    assert torch.equal(images.read(torch.arange(10)), torch.from_numpy(pixels[:10]))
    assert images.labels is not None
    assert images.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert images.labels.dtype == torch.int64
    assert (images.shape, len(images.classes), images.classes[1]) == ((3, 32, 32), 10, "automobile")
    held_out = CIFAR10().open(root, "held_out")
    assert torch.equal(held_out.read(torch.arange(2)), torch.from_numpy(pixels[10:]))
    assert held_out.names(torch.tensor([1])) == ("held_out/1",)


def test_cifar10_is_downloaded_and_mended(cifar: Site, tmp_path: Path, monkeypatch: Patch) -> None:
    target = tmp_path / "new"
    CIFAR10().prepare(target)
    assert len(CIFAR10().open(target, "train")) == 10
    batch = target / "cifar-10-batches-py" / "data_batch_1"
    content = bytearray(batch.read_bytes())
    content[-100] ^= 1  # one bit of one pixel, which only the checksum can notice
    batch.write_bytes(content)
    with pytest.raises(UserError, match=names("cifar10", target)):
        CIFAR10().open(target, "train")
    CIFAR10().prepare(target)
    assert len(CIFAR10().open(target, "train")) == 10
    address = datasets.CIFAR10.url
    monkeypatch.setattr(datasets.CIFAR10, "url", NOWHERE)
    CIFAR10().prepare(target)  # nothing to do
    (tmp_path / "web" / datasets.CIFAR10.filename).write_bytes(b"a log-in page")
    monkeypatch.setattr(datasets.CIFAR10, "url", address)
    for _ in range(2):  # nor is it read the second time
        with pytest.raises(UserError, match=f"cannot download {address}"):
            CIFAR10().prepare(tmp_path / "newer")


def test_cifar10_runs_nothing_that_a_file_asks_for(cifar: Site, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    batch = cifar[0] / "cifar-10-batches-py" / "test_batch"
    batch.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(UserError, match=names("cifar10", cifar[0])):
        CIFAR10().open(cifar[0], "held_out")
    assert not (tmp_path / "sprung").exists()


def test_svhn(tmp_path: Path, web: Any, noise: Make, monkeypatch: Patch) -> None:
    site, url = web
    pixels, lists = noise(6), {}
    for split, x, y in (("train", pixels[:4], [10, 1, 9, 10]), ("test", pixels[4:], [5, 6])):
        file = f"{split}_32x32.mat"
        # As published: (height, width, channel, image), a column, and the digit 0 is called 10.
        content = {"X": x.transpose(2, 3, 1, 0), "y": np.array(y, np.uint8)[:, None]}
        savemat(site / file, content, do_compression=True)
        lists[split] = [url + file, file, md5(site / file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", lists)
    root = tmp_path / "new"
    SVHN().prepare(root)
    images = SVHN().open(root, "train")
    read = images.read(torch.tensor([2, 0]))
    assert read.is_contiguous()
    assert torch.equal(read, torch.from_numpy(pixels[[2, 0]]))
    assert images.labels is not None
    assert (images.labels.tolist(), images.labels.dtype) == ([0, 1, 9, 0], torch.int64)
    assert images.classes == tuple("0123456789")
    held_out = SVHN().open(root, "held_out")
    assert held_out.labels is not None
    assert held_out.labels.tolist() == [5, 6]
    (root / "train_32x32.mat").write_bytes(b"x" * 300)
    with pytest.raises(UserError, match=names("svhn", root)):
        SVHN().open(root, "train")


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("folder", [".", "FashionMNIST/raw", "fashion-mnist"])
def test_grey_files_anywhere(tmp_path: Path, write_grey: Make, folder: str, zipped: bool) -> None:
    write_grey(tmp_path / folder, zipped=zipped, train=12, t10k=2)
    content = (tmp_path / folder / (IMAGES + ".gz" * zipped)).read_bytes()
    content = gzip.decompress(content) if zipped else content
    grey = torch.frombuffer(bytearray(content[16:]), dtype=torch.uint8).view(12, 28, 28)
    images = FashionMNIST().open(tmp_path, "train")
    pixels = images.read(torch.arange(12))
    assert pixels.shape == (12, 3, 32, 32)
    assert torch.equal(pixels[:, :, 2:30, 2:30], grey[:, None].expand(-1, 3, -1, -1))
    assert int(pixels.sum()) == 3 * int(grey.sum())  # so the frame is black
    assert images.labels is not None
    assert images.labels.tolist() == [*range(10), 0, 1]
    assert images.classes[9] == "ankle-boot"
    assert len(FashionMNIST().open(tmp_path, "held_out")) == 2


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "empty": (IMAGES, lambda whole: b""),
    "header": (IMAGES, lambda whole: whole[:10]),
    "short": (IMAGES, lambda whole: whole[:-1]),
    "long": (IMAGES, lambda whole: whole + b"x"),
    "flat": (IMAGES, lambda whole: b"\0\0\x08\x01" + whole[4:]),
    "none": (IMAGES, lambda whole: struct.pack(">4I", 0x803, 0, 28, 28)),
    "huge": (IMAGES, lambda whole: struct.pack(">4I", 0x803, 10**6, 28, 28) + bytes(10**6)),
    "fewer": (IMAGES, lambda whole: struct.pack(">4I", 0x803, 2, 28, 28) + whole[16:1584]),
    "label": (LABELS, lambda whole: whole[:-1] + b"\x0a"),
    "half a gzip": (f"{IMAGES}.gz", lambda whole: whole[: len(whole) // 2]),
    "no gzip": (f"{IMAGES}.gz", lambda whole: b"plain text"),
    "flipped gzip": (f"{IMAGES}.gz", lambda whole: whole[:99] + b"\0\xff" + whole[101:]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_grey_file(tmp_path: Path, write_grey: Make, damage: str) -> None:
    file, change = DAMAGE[damage]
    write_grey(tmp_path, zipped=file.endswith(".gz"), train=3)
    (tmp_path / file).write_bytes(change((tmp_path / file).read_bytes()))
    with pytest.raises(UserError, match=names("fashion_mnist", tmp_path)):
        FashionMNIST().open(tmp_path, "train")


@pytest.mark.parametrize(
    ("source", "published", "folder"),
    [
        (FashionMNIST(), datasets.FashionMNIST, "FashionMNIST/raw"),
        (StackedFashion(size=3), datasets.FashionMNIST, "FashionMNIST/raw"),
        (StackedMNIST(size=3), datasets.MNIST, "MNIST/raw"),
    ],
)
def test_grey_files_are_downloaded_where_missing(
    source: Any, published: Any, folder: str, write_grey: Make, web: Any, monkeypatch: Patch
) -> None:
    site, url = web
    write_grey(site, zipped=True, train=3, t10k=3)
    sums = [(path.name, md5(path)) for path in sorted(site.iterdir())]
    monkeypatch.setattr(published, "mirrors", [url])
    monkeypatch.setattr(published, "resources", sums)
    target = site.parent / "new"
    source.prepare(target)
    assert len(source.open(target, "train")) == 3
    (target / folder / f"{IMAGES}.gz").write_bytes(b"")
    source.prepare(target)
    monkeypatch.setattr(published, "mirrors", [NOWHERE])
    source.prepare(target)  # nothing to do
    source.prepare(site)


@pytest.mark.parametrize("kind", [CIFAR10, SVHN, FashionMNIST])
def test_what_is_missing(kind: type[Source], tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UserError, match=names(kind.name, root)):
            kind().open(root, "train")
