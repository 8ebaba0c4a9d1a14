"""Checkpoint files to be trusted: written whole, each with a seal that vouches for its bytes."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from ganstoch.errors import UserError
from ganstoch.records import decode, write_atomically

__all__ = [
    "Seal",
    "SealedIO",
    "check_checkpoint",
    "iteration_of",
    "newest_sound",
    "seal_of",
    "trouble",
]

_log = logging.getLogger("ganstoch")

_PARTS: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "callbacks": dict,
    "loops": dict,
    "global_step": int,
    "pytorch-lightning_version": str,
}
"""What a checkpoint of a run holds, among other things, and of what kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What stands beside a checkpoint, as JSON, in ``CHECKPOINT.seal``.

    Attributes:
        sha256: checksum of the checkpoint's bytes, hexadecimal.
        run: `config_hash` of the run that made it.
        iteration: iterations done.
    """

    sha256: str
    run: str
    iteration: int


class SealedIO(CheckpointIO):
    """Writes a checkpoint, then its seal: a kill between the two leaves one that nobody trusts.

    Args:
        run: `config_hash` of the run.
    """

    def __init__(self, run: str) -> None:
        self.run = run

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Writes both files, each whole or not at all.

        Raises:
            UserError: if the disk is full or the place cannot be written to.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getbuffer()
        seal = Seal(
            sha256=hashlib.sha256(content).hexdigest(),
            run=self.run,
            iteration=int(checkpoint["global_step"]),
        )
        write_atomically(Path(path), content)
        write_atomically(seal_of(Path(path)), json.dumps(asdict(seal)).encode() + b"\n")

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Reads tensors and plain values; never unpickles anything else, whatever is asked.

        Raises:
            UserError: if it is gone, as it was there a moment ago.
        """
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise UserError(
                f"{path} is gone, as another process is at work on its run; wait for that, or "
                "choose another --out"
            ) from error
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Removes the seal, then the checkpoint."""
        seal_of(Path(path)).unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)


def newest_sound(folder: Path, *, run: str) -> Path | None:
    """The run's last checkpoint whose seal fits it, with a line on each later one that it passes.

    Args:
        folder: the run's checkpoints, ``step=ITERATION.ckpt``.
        run: `config_hash` of the run.
    """
    found = {step: path for path in folder.glob("step=*.ckpt") if (step := iteration_of(path))}
    for step in sorted(found, reverse=True):
        wrong = trouble(found[step], run=run)
        if wrong is None:
            return found[step]
        _log.warning("%s %s; going on from the one before it", found[step], wrong)
    return None


def check_checkpoint(path: Path, *, sealed: bool) -> dict[str, Any]:
    """Opens a checkpoint, without reading its numbers, to tell a bad file in one line.

    Args:
        path: the file.
        sealed: whether its seal has been compared already; if not, it is where there is one.

    Returns:
        What it holds, its numbers not yet read from the file.

    Raises:
        UserError: if there is none, or it is none of a run.
    """
    fix = "give another --ckpt_path, or remove it to start from the beginning"
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}; give another --ckpt_path")
    if not sealed and seal_of(path).exists() and (wrong := trouble(path, run=None)):
        raise UserError(f"{path} {wrong}; {fix}")
    try:
        with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
            content: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # a damaged file raises almost anything
        raise UserError(f"{path} is damaged, or no checkpoint at all; {fix}") from error
    if not _is_of_a_run(content):
        raise UserError(f"{path} is no checkpoint of ganstoch fit; {fix}")
    found: dict[str, Any] = content
    return found


def _is_of_a_run(content: Any) -> bool:
    """Whether Lightning would find what it looks for where it looks for it."""
    return (
        isinstance(content, dict)
        and all(isinstance(content.get(part), kind) for part, kind in _PARTS.items())
        and all(isinstance(value, torch.Tensor) for value in content["state_dict"].values())
        and len(content["optimizer_states"]) > 0
        and all(isinstance(s, dict) and "param_groups" in s for s in content["optimizer_states"])
        and isinstance(content["loops"].get("fit_loop"), dict)
        and re.match(r"\d+\.\d", content["pytorch-lightning_version"]) is not None
    )


def iteration_of(path: Path) -> int | None:
    """4 of ``step=4.ckpt``; None for another name."""
    digits = path.stem.removeprefix("step=")
    return int(digits) if digits.isdecimal() and path.stem.startswith("step=") else None


def trouble(path: Path, *, run: str | None) -> str | None:
    """Why a checkpoint is not to be trusted, or None."""
    try:
        content = json.loads(seal_of(path).read_bytes())
        seal = decode(Seal, content, str(seal_of(path)), fix="")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "has no seal beside it, as if its writing was cut short"
    except (OSError, ValueError, RecursionError):  # the second is a UserError too
        return "cannot be read together with its seal"
    if seal.sha256 != sha256:
        return "is damaged: its checksum is another than its seal's"
    if run is not None and seal.run != run:
        return "is of another run"
    return None


def seal_of(path: Path) -> Path:
    """Where a checkpoint's seal is, or would be."""
    return path.with_name(f"{path.name}.seal")
