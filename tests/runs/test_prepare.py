import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision.datasets

from ganstoch.data import StackedFashion, download, find_source
from ganstoch.data.cache import write_if_allowed
from ganstoch.data.datamodule import ImageData
from ganstoch.metrics.features import INCEPTION_FILE, INCEPTION_URL
from ganstoch.metrics.modes import make_mode_scorer

Command = Callable[..., Any]
Patch = pytest.MonkeyPatch


def test_points_leave_no_files_and_the_subset_is_a_run_s(here: Path, ganstoch: Command) -> None:
    data = ImageData(find_source("ring")(), n=100, m=1, subset_seed=3)
    data.setup("fit")
    answer = ganstoch("prepare", "ring", "--n", 100, "--subset_seed", 3)
    assert (answer.status, answer.err) == (0, "")
    assert "ring: 100,000 " in answer.out
    assert data.subset.sha256 in answer.out
    assert list(here.iterdir()) == []


def test_a_folder_gets_its_manifest(photos: Path, here: Path, ganstoch: Command) -> None:
    folder = Path(shutil.copytree(photos, here / "photos"))
    answer = ganstoch("prepare", "folder", "--root", folder)
    assert answer.status == 0, answer
    assert (folder / "ganstoch-folder-n12-seed0.json").exists()
    (folder / "00.png").write_bytes((folder / "01.png").read_bytes())
    assert "changed" in ganstoch("prepare", "folder", "--root", folder).complaint


@pytest.fixture
def clothes(here: Path, write_grey: Command) -> Path:
    write_grey(here / "clothes", train=200, t10k=100)
    return here / "clothes"


def test_stacks_and_what_counts_their_modes(clothes: Path, ganstoch: Command) -> None:
    words = ("prepare", "stacked_fashion", "--root", clothes, "--n", 50)
    path = clothes / "ganstoch-cache" / "judge-stacked_fashion.pt"
    answer = ganstoch(*words)
    assert (answer.status, answer.err) == (0, "")
    assert str(path) in answer.out
    assert (clothes / "ganstoch-stacked_fashion-n50-seed0.json").exists()
    images = StackedFashion(size=20).open(clothes, "train").read(torch.arange(20))
    assert make_mode_scorer(StackedFashion().known_modes(clothes))(images).of == 1000
    before = path.stat().st_mtime_ns
    assert str(path) in ganstoch(*words).out
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"")
    assert str(path) in ganstoch(*words).complaint


def test_a_read_only_root(clothes: Path, here: Path, ganstoch: Command, monkeypatch: Patch) -> None:
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
    assert str(clothes) in ganstoch(*words).complaint


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_no_network(name: str, here: Path, ganstoch: Command, monkeypatch: Patch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    assert "http" in ganstoch("prepare", name).complaint
    assert [path for path in here.rglob("*") if path.is_file()] == []


def test_a_server_that_says_nothing(ganstoch: Command, monkeypatch: Patch) -> None:
    assert 1 <= download.PATIENCE <= 600
    monkeypatch.setattr(download, "PATIENCE", 0.05)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        hang_up = threading.Timer(20, server.close)  # so that a test that fails comes to an end
        hang_up.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/archive.tar.gz"
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", url)
        assert url in ganstoch("prepare", "cifar10").complaint
        hang_up.cancel()
    assert socket.getdefaulttimeout() is None


def test_inception(here: Path, ganstoch: Command, monkeypatch: Patch) -> None:
    calls = []

    def download(url: str, to: str, **options: Any) -> None:
        assert socket.getdefaulttimeout()
        calls.append((url, options["hash_prefix"]))
        if len(calls) == 1:
            raise RuntimeError("invalid hash value")
        Path(to).write_bytes(b"weights")

    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    path = here / "torch" / "hub" / "checkpoints" / INCEPTION_FILE
    assert str(path) in ganstoch("prepare", "inception").complaint
    for _ in range(2):
        assert str(path) in ganstoch("prepare", "inception").out
    assert calls == [(INCEPTION_URL, INCEPTION_FILE.removesuffix(".pth")[-8:])] * 2
