"""Downloads that are either complete and of the right checksum, or not there."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from ganstoch.data.preparing import once
from ganstoch.errors import UserError

__all__ = ["fetch", "has_md5", "patience"]

PATIENCE = 60.0
"""Seconds to wait for a server that says nothing; urllib alone would wait for ever."""


@contextmanager
def patience() -> Iterator[None]:
    """Gives up on connections that have been silent for `PATIENCE` seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def has_md5(path: Path, md5: str) -> bool:
    """Whether the file is there and has the given MD5 checksum, hexadecimal."""
    from torchvision.datasets.utils import check_integrity

    return bool(check_integrity(str(path), md5))


def fetch(path: Path, *, url: str, md5: str) -> None:
    """Downloads a file with torchvision, unless it is there already and sound.

    Args:
        path: where to put it; its folder is made.
        url: where it comes from.
        md5: its checksum as published, hexadecimal.

    Raises:
        UserError: if there is no way to it, or what came has another checksum.
    """
    once(
        path,
        doing=f"download {path.name}",
        look=lambda: path if has_md5(path, md5) else None,
        make=lambda: _download(path, url=url, md5=md5),
    )


def _download(path: Path, *, url: str, md5: str) -> Path:
    """Downloads a file under its final name, whole or not at all."""
    from torchvision.datasets.utils import download_url

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Torchvision writes under the final name; beside it first, so that Ctrl-C leaves nothing.
        with (
            patience(),
            tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder,
        ):
            download_url(url, folder, filename=path.name, md5=md5)
            os.replace(Path(folder) / path.name, path)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum
        raise UserError(
            f"cannot download {url} ({error}); try again, or download it by hand to {path}"
        ) from error
    return path
