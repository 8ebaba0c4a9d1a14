"""Converted images kept for the next run: an array and a checksum, verified at every load."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganstoch.data.source import SIDE
from ganstoch.data.writing import write_if_allowed
from ganstoch.errors import UserError

__all__ = ["load", "places", "save"]

_SCHEMA = 1


def places(root: Path) -> tuple[Path, ...]:
    """Where a cache for a root may lie: below it, or in the user's own cache if it is read-only."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a container's nameless user has no home
        return (root / "ganstoch-cache",)
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return root / "ganstoch-cache", Path(home) / "ganstoch" / digest


def load(root: Path, key: str, *, names: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]] | None:
    """Reads images back.

    Args:
        root: the folder that they were made from.
        key: what they were saved under.
        names: what the images there are called now; a cache of others is out of date. Empty if the
            images are gone, and a cache is all there is.

    Returns:
        The images, uint8 (N, 3, 32, 32), and their names, N of them; None if there is no cache.

    Raises:
        UserError: if what is there is not what was saved.
    """
    for folder in places(root):
        array, sidecar = folder / f"{key}.npy", folder / f"{key}.json"
        try:
            about, content = json.loads(sidecar.read_bytes()), array.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"cannot read {sidecar} ({error}); remove {folder}") from error
        if not isinstance(about, dict) or about.get("schema") != _SCHEMA:
            raise UserError(f"{sidecar} is of another version; remove {folder} to convert again")
        kept = tuple(about.get("names", ()))
        if names and names != kept:
            continue
        found = hashlib.sha256(content).hexdigest()
        if about.get("sha256") != found:
            raise UserError(
                f"{array} is damaged: sha256 {found}, saved as {about.get('sha256')}; remove it to "
                "convert again"
            )
        pixels = np.load(io.BytesIO(content), allow_pickle=False)
        assert pixels.dtype == np.uint8, array
        assert pixels.shape == (len(kept), 3, SIDE, SIDE), array
        return torch.from_numpy(pixels), kept
    return None


def save(root: Path, key: str, pixels: Tensor, *, names: Sequence[str]) -> None:
    """Keeps images for the next run; says so on standard error if there is no place to.

    Args:
        root: the folder that they were made from.
        key: what to save them under.
        pixels: uint8, shape (N, 3, 32, 32).
        names: what the images are called, N of them.

    Raises:
        UserError: if the disk is full.
    """
    buffer = io.BytesIO()
    np.save(buffer, pixels.numpy(), allow_pickle=False)
    content = buffer.getvalue()
    about = {
        "schema": _SCHEMA,
        "sha256": hashlib.sha256(content).hexdigest(),
        "names": list(names),
    }
    text = json.dumps(about, indent=0).encode()
    for folder in places(root):
        # The checksum last: a run killed between the two leaves an array that nothing vouches for.
        sidecar = folder / f"{key}.json"
        if write_if_allowed(folder / f"{key}.npy", content) and write_if_allowed(sidecar, text):
            return
    tried = " nor ".join(map(str, places(root)))
    print(f"{key} is not cached: may not write to {tried}", file=sys.stderr)
