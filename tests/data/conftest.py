"""Small data sets in the exact formats of the real ones."""

from __future__ import annotations

import functools
import gzip
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganstoch.data import ArrayImages


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def gradient_images() -> ArrayImages:
    """100 images, no two alike, from arithmetic alone, so that checksums can be pinned."""
    values = torch.arange(100 * 3 * 32 * 32, dtype=torch.int64).reshape(100, 3, 32, 32)
    pixels = ((values * 7 + values // 3072) % 251).to(torch.uint8)
    return ArrayImages(
        pixels, split="train", labels=torch.arange(100) % 10, classes=tuple("0123456789")
    )


@pytest.fixture
def noise(rng: np.random.Generator) -> Callable[[int], NDArray[np.uint8]]:
    """Random images, uint8, shape (count, 3, 32, 32)."""
    return lambda count: rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def write_grey() -> Callable[..., None]:
    """Writes random images, labelled 0, 1, .., 9, 0, .., in files as MNIST is published."""

    def write(folder: Path, *, zipped: bool = False, **counts: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for prefix, count in counts.items():
            grey = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = np.arange(count, dtype=np.uint8) % 10
            for kind, values in (("images-idx3-ubyte", grey), ("labels-idx1-ubyte", labels)):
                head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
                content = head + values.tobytes()
                path = folder / f"{prefix}-{kind}{'.gz' * zipped}"
                path.write_bytes(gzip.compress(content) if zipped else content)

    return write


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address, on this machine, at which its files can be downloaded."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
