"""Small data sets in the exact formats of the real ones."""

import errno
import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ganstoch.data.cache
from ganstoch.data import ArrayImages
from ganstoch.errors import UserError
from ganstoch.records import write_atomically


@pytest.fixture
def gradient_images() -> ArrayImages:
    """100 images, no two alike, from arithmetic alone, so that checksums can be pinned."""
    values = torch.arange(100 * 3 * 32 * 32, dtype=torch.int64).reshape(100, 3, 32, 32)
    pixels = ((values * 7 + values // 3072) % 251).to(torch.uint8)
    labels = torch.arange(100) % 10
    return ArrayImages(pixels, split="train", labels=labels, classes=tuple("0123456789"))


@pytest.fixture
def make_read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Refuses writes below a folder, as a read-only mount does (tests may run as root)."""

    def refuse(folder: Path) -> None:
        def write(path: Path, content: bytes) -> None:
            if path.is_relative_to(folder):
                raise UserError("read-only") from OSError(errno.EROFS, "Read-only file system")
            write_atomically(path, content)

        monkeypatch.setattr(ganstoch.data.cache, "write_atomically", write)

    return refuse


@pytest.fixture
def noise() -> Callable[[int], NDArray[np.uint8]]:
    """Random images, uint8, shape (count, 3, 32, 32)."""
    rng = np.random.default_rng(0)
    return lambda count: rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address, on this machine, at which its files can be downloaded."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
