"""Downloads of published data sets, and their readers' errors in one line."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from ganstoch.data.cache import locked
from ganstoch.data.source import require_folder
from ganstoch.errors import UserError

PATIENCE = 60.0  # seconds to wait for a server that says nothing; urllib alone waits for ever


@contextmanager
def explained(name: str, root: Path) -> Iterator[None]:
    """Turns a reader's errors, of which there are many kinds, into a UserError with the fix."""
    fix = f"run: ganstoch prepare {name} --root {root}"
    require_folder(root, holds=f"the data set's folder, or {fix}")
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{name} in {root} is missing or damaged ({reason}); {fix}") from error


@contextmanager
def downloading(name: str, root: Path, *, url: str) -> Iterator[None]:
    """Lets one process at a time download, and turns errors into a UserError."""
    with locked(root / name, doing=f"download {name}"), patience():
        try:
            yield
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum
            raise UserError(
                f"cannot download {url} ({error}); try again, or download it by hand to {root}"
            ) from error


@contextmanager
def patience() -> Iterator[None]:
    """Gives up on connections that have been silent for `PATIENCE` seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
