"""Starts `ganstoch fit` as a process that holds its run's claim from the first moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganstoch.errors import UserError
from ganstoch.records import read_record
from ganstoch.runs.claim import HANDED, Busy, take

__all__ = ["LOG", "has_record", "is_finished", "launch"]

LOG = "log.txt"
RECORD = "record.json"


def launch(
    arguments: Sequence[str], folder: Path, *, config_hash: str, environment: Mapping[str, str]
) -> subprocess.Popen[bytes] | None:
    """Starts a run, unless another process is at work on it or has finished it.

    The claim is taken here and handed to the child: so no two processes load torch for one run,
    none writes into another's log, and the claim outlives whoever started the child.

    Args:
        arguments: words behind `ganstoch fit`.
        folder: where the run goes; its log is appended to.
        config_hash: of the run.
        environment: variables of the new process.

    Returns:
        The process; None if there is no need of it.
    """
    command = [sys.executable, "-m", "ganstoch.cli", "fit", *arguments]
    command += [f"--out={folder}", "--quiet=true"]
    try:
        descriptor = take(folder)
    except Busy:
        return None
    try:
        if is_finished(folder, config_hash):
            return None
        with (folder / LOG).open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, HANDED: str(descriptor)},
                pass_fds=[descriptor],
            )
    finally:
        os.close(descriptor)  # the child has a copy, which holds the lock


def is_finished(folder: Path, config_hash: str) -> bool:
    """Whether a folder holds this very run, finished."""
    try:
        return has_record(folder) and read_record(folder / RECORD).config_hash == config_hash
    except UserError:
        return False


def has_record(folder: Path) -> bool:
    """Whether a folder holds a finished run."""
    try:
        # Listed, not looked up: of a shared disk, the system remembers for a minute that a file was
        # not there, but lists a folder anew once it has changed.
        return RECORD in os.listdir(folder)
    except OSError:
        return False
