from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision.datasets

from ganstoch.data import ImageData, download
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


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["foo"], ["no data set 'foo'", "cifar10, digits"]),
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


@pytest.mark.parametrize("name", ["cifar10", "svhn", "fashion_mnist"])
def test_no_network(
    name: str, here: Path, ganstoch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fail)
    complaint = ganstoch("prepare", name).complaint
    assert complaint.startswith("cannot download http")
    assert "Name or service not known" in complaint
    assert "by hand to data/" in complaint
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
    assert "timed out" in ganstoch("prepare", "cifar10").complaint
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
