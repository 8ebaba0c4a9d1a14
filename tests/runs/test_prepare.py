from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets

from ganstoch.data import ImageData, StackedFashion, download
from ganstoch.data.cache import write_if_allowed
from ganstoch.metrics.modes import make_mode_scorer
from ganstoch.metrics.weights import INCEPTION_FILE, INCEPTION_URL


def test_digits_need_nothing(here: Path, ganstoch: Callable[..., Any]) -> None:
    answer = ganstoch("prepare", "digits")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.splitlines()[0] == "digits: 1,797 training images"
    assert answer.out.splitlines()[1].startswith("subset of 1,797, seed 0: sha256 ")
    assert list(here.iterdir()) == []


def test_the_subset_is_that_of_a_run(ganstoch: Callable[..., Any]) -> None:
    data = ImageData(n=100, m=1, subset_seed=3)
    data.setup("fit")
    answer = ganstoch("prepare", "digits", "--n", 100, "--subset_seed", 3)
    assert answer.out.endswith(f"subset of 100, seed 3: sha256 {data.subset.sha256}\n")


def test_a_folder_gets_its_manifest(photos: Path, ganstoch: Callable[..., Any]) -> None:
    answer = ganstoch("prepare", "folder", "--root", photos)
    assert answer.status == 0, answer
    assert "folder: 70 training images" in answer.out
    assert (photos / "ganstoch-folder-n70-seed0.json").exists()
    (photos / "00.png").write_bytes((photos / "01.png").read_bytes())
    assert "the images have changed" in ganstoch("prepare", "folder", "--root", photos).complaint


def test_a_world_of_points(here: Path, ganstoch: Callable[..., Any]) -> None:
    answer = ganstoch("prepare", "ring")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("ring: 100,000 training images\nsubset of 100,000, seed 0: sha256")
    assert list(here.iterdir()) == []


@pytest.fixture
def clothes(here: Path) -> Path:
    """Four files as published, of few grey images that their brightness tells apart."""
    folder = here / "clothes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 200), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        grey = labels[:, None, None] * np.uint8(25) + rng.integers(0, 9, (count, 28, 28), np.uint8)
        for kind, values in (("images-idx3", grey), ("labels-idx1", labels)):
            head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(head + values.tobytes())
    return folder


def test_a_world_of_stacks(clothes: Path, ganstoch: Callable[..., Any]) -> None:
    words = ("prepare", "stacked_fashion", "--root", clothes, "--n", 50)
    path = clothes / "ganstoch-cache" / "judge-stacked_fashion.pt"
    answer = ganstoch(*words)
    assert (answer.status, answer.err) == (0, "")
    assert "stacked_fashion: 128,000 training images" in answer.out
    assert re.search(rf"counts modes, right on [\d.]+% of test images: {path}", answer.out)
    assert (clothes / "ganstoch-stacked_fashion-n50-seed0.json").exists()
    world = StackedFashion().known_modes(clothes)
    images = StackedFashion(size=20).open(clothes, "train").read(torch.arange(20))
    assert make_mode_scorer(world)(images).of == 1000
    before = path.stat().st_mtime_ns
    assert f"counts modes is at {path}" in ganstoch(*words).out
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"")
    assert str(path) in ganstoch(*words).complaint


def test_a_read_only_root(
    clothes: Path, here: Path, ganstoch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes) -> bool:
        return write_if_allowed(path, content) if path.is_relative_to(allowed) else False

    allowed = here / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(allowed))
    monkeypatch.setattr("ganstoch.runs.prepare.write_if_allowed", write)
    words = ("prepare", "stacked_fashion", "--root", clothes, "--n", 50)
    assert ganstoch(*words).status == 0
    assert StackedFashion().known_modes(clothes).classifier.is_relative_to(allowed)
    allowed = here / "elsewhere"
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "closed"))
    assert f"may not write below {clothes}" in ganstoch(*words).complaint


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["foo"], ["no data set 'foo'", "bimodal, cifar10, digits"]),
        (["digits", "--n", "1798"], ["--n must be 1 .. 1797", "1798"]),
        (["digits", "--n", "0"], ["--n must be 1 .. 1797"]),
        (["folder", "--root", "nowhere"], ["nowhere does not exist"]),
        (["ffhq", "--root", "nowhere"], ["nowhere", "thumbnails128x128"]),
    ],
)
def test_mistakes(
    words: list[str], parts: list[str], here: Path, ganstoch: Callable[..., Any]
) -> None:
    complaint = ganstoch("prepare", *words).complaint
    assert all(part in complaint for part in parts), complaint
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["cifar10", "svhn", "fashion_mnist", "stacked_mnist"])
def test_no_network(
    name: str, here: Path, ganstoch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    complaint = ganstoch("prepare", name).complaint
    assert complaint.startswith("cannot download http")
    assert "Name or service not known" in complaint
    assert [path for path in here.rglob("*") if path.is_file()] == []


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        hang_up = threading.Timer(20, server.close)  # so that a test that fails comes to an end
        hang_up.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/archive.tar.gz"
        hang_up.cancel()


def test_a_server_that_says_nothing(
    silent_server: str,
    ganstoch: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 1 <= download.PATIENCE <= 600
    monkeypatch.setattr(download, "PATIENCE", 0.05)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", silent_server)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert f"cannot download {silent_server} (" in ganstoch("prepare", "cifar10").complaint
    assert socket.getdefaulttimeout() is None


def test_inception(
    here: Path, ganstoch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(url: str, to: str, **options: Any) -> None:
        asked.append((url, options["hash_prefix"], socket.getdefaulttimeout()))
        if len(asked) == 1:
            raise RuntimeError("invalid hash value")
        Path(to).write_bytes(b"weights")

    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    path = here / "torch" / "hub" / "checkpoints" / INCEPTION_FILE
    complaint = ganstoch("prepare", "inception").complaint
    assert "invalid hash value" in complaint
    assert str(path) in complaint
    assert ganstoch("prepare", "inception").out == f"Inception's weights are at {path}\n"
    assert ganstoch("prepare", "inception").status == 0  # there already
    assert [(url, prefix) for url, prefix, _ in asked] == [(INCEPTION_URL, "6726825d")] * 2
    assert INCEPTION_FILE.removesuffix(".pth").endswith(asked[0][1])
    assert all(patience for _, _, patience in asked)
