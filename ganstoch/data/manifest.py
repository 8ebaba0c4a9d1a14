"""Which images a subset holds, on paper: written once, checked at every load."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from ganstoch.data.cache import write_if_allowed
from ganstoch.data.subset import Subset
from ganstoch.errors import UserError

__all__ = ["SCHEMA", "Manifest", "check_in", "describe", "manifest_path", "verify"]

SCHEMA = 1
"""Version of the manifest's layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What identifies a subset.

    Attributes:
        source: label of the source, e.g. ``cifar10``.
        split_size: images in the source's training split.
        n: images chosen.
        seed: what chose them.
        ids: their positions in the split, ascending.
        sha256: checksum of their pixels, hexadecimal.
        schema: version of this layout.
    """

    source: str
    split_size: int
    n: int
    seed: int
    ids: tuple[int, ...]
    sha256: str
    schema: int = SCHEMA

    def encode(self) -> bytes:
        """The manifest as JSON."""
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"


def describe(subset: Subset, *, source: str) -> Manifest:
    """The manifest of a subset; ``source`` is the source's label."""
    return Manifest(
        source=source,
        split_size=len(subset.source),
        n=len(subset),
        seed=subset.seed,
        ids=tuple(subset.ids.tolist()),
        sha256=subset.sha256,
    )


def manifest_path(root: Path, manifest: Manifest) -> Path:
    """Where below the root the manifest of such a subset lies."""
    return root / f"ganstoch-{manifest.source}-n{manifest.n}-seed{manifest.seed}.json"


def check_in(root: Path, manifest: Manifest) -> None:
    """Verifies a subset against its manifest below the root, or writes one if there is none yet.

    A root that may not be written to goes without.

    Raises:
        UserError: if the subset is not the one that the manifest describes, or the disk is full.
    """
    path = manifest_path(root, manifest)
    if path.exists():
        verify(path, manifest)
    else:
        write_if_allowed(path, manifest.encode())


def verify(path: Path, manifest: Manifest) -> None:
    """Checks that a subset is the one that a manifest file describes.

    Args:
        path: the file, below the data's root or in a run's folder.
        manifest: what describes the subset at hand.

    Raises:
        UserError: if it is another subset, or the file is no manifest.
    """
    try:
        written = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path} ({error}); remove it to write it anew") from error
    if not isinstance(written, dict) or written.get("schema") != SCHEMA:
        raise UserError(f"{path} is no manifest of this version; remove it to write it anew")
    expected = json.loads(manifest.encode())
    fix = f"restore the data it was written for, or remove {path} to accept what is there now"
    for key in ("source", "n", "seed", "split_size"):
        if written.get(key) != expected[key]:
            raise UserError(
                f"{path} was written for {key} {written.get(key)}, found {expected[key]}; {fix}"
            )
    if written.get("sha256") != expected["sha256"]:
        raise UserError(
            f"the images have changed: sha256 {expected['sha256']}, in {path} "
            f"{written.get('sha256')}; {fix}"
        )
    if written.get("ids") != expected["ids"]:
        raise UserError(f"{path} lists other images with the same pixels; {fix}")
