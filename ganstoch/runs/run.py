"""`ganstoch fit`: one run, from a command line to a record. Wiring only."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger

from ganstoch.callbacks.checkpoints import Checkpoints, newest_checkpoint, read_checkpoint
from ganstoch.callbacks.progress import LossLogger, Progress, RandomnessReport
from ganstoch.callbacks.run_folder import (
    NeighbourGrid,
    RecordWriter,
    SampleHistory,
    git_sha,
    versions,
)
from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.records import read_record
from ganstoch.runs.command import Command, Resolved, resolve, understand
from ganstoch.runs.going_on import STATE, differences, refuse_other_settings
from ganstoch.runs.measuring import measuring_callbacks
from ganstoch.runs.oom import half, let_go
from ganstoch.runs.run_folder import RunFolder
from ganstoch.runs.tracking import make_logger
from ganstoch.runs.train import train
from ganstoch.runs.validate import compose

__all__ = ["fit"]

_log = logging.getLogger("ganstoch")

RECORD = "record.json"
CONFIG = "cli_config.yaml"


def fit(arguments: Sequence[str]) -> Path:
    """Runs, or resumes, or recognises as finished, what a command line of `ganstoch fit` asks for.

    Where a GPU's memory turns out too small, it goes on with half the images at a time.

    Returns:
        The run's folder.

    Raises:
        Busy: if another process is at work on the run.
        UserError: for anything the user can mend.
    """
    command = understand(arguments)
    while True:
        try:
            return _fit_once(command)
        except torch.OutOfMemoryError:
            smaller = half(command)
        let_go(command)  # what the error held on to is free by now
        command = understand([*arguments, f"--model.micro_batch={smaller}"])


def _fit_once(command: Command) -> Path:
    """Runs, or resumes, a run.

    Raises:
        torch.OutOfMemoryError: if a GPU's memory is too small for the images at once.
    """
    resolved = resolve(command.config)
    folder: Path = command.config.out or Path("runs") / resolved.name
    if _is_finished(folder, resolved):
        _log.info("%s is finished already", folder)
        return folder
    if twin := command.config.iterations_of:
        command.config.trainer.max_steps = read_record(twin / RECORD).iterations
        command.config.stop_rule.stop = False
    compose(resolved.config)  # in fewer words than the parser would wrap a refusal in
    checkpoints = folder / "checkpoints"
    # Under Slurm Lightning goes on from any file of a certain name there; ours are named otherwise.
    command.config.trainer.default_root_dir = str(checkpoints)
    before = _names(checkpoints)

    def moved_on() -> bool:
        return _is_finished(folder, resolved) or _names(checkpoints) != before

    with ExitStack() as held:
        command.build(
            [
                *_callbacks(command, resolved, folder, held=held, moved_on=moved_on),
                Checkpoints(
                    checkpoints, every=command.config.checkpoint_every, run=resolved.config_hash
                ),
            ]
        )
        named, own = command.config.ckpt_path, None
        if named is None or _began_with(named, folder):
            own = newest_checkpoint(checkpoints, run=resolved.config_hash)
        if own is None and named is not None:
            refuse_other_settings(
                named,
                read_checkpoint(named),
                config=resolved.config,
                steps=command.config.trainer.max_steps,
            )
        train(command.trainer, command.model, command.datamodule, own or named)
    if command.trainer.is_global_zero and not (folder / RECORD).exists():
        raise UserError(f"{folder} was interrupted; the same command goes on from its checkpoint")
    return folder


def _callbacks(
    command: Command,
    resolved: Resolved,
    folder: Path,
    *,
    held: ExitStack,
    moved_on: Callable[[], bool],
) -> list[Callback]:
    """What accompanies a run, in the order in which it happens after each iteration."""

    def open_logger(data: ImageData) -> Logger | None:
        described = {**resolved.config, "config_hash": resolved.config_hash, "git_sha": git_sha()}
        return make_logger(
            command.config_init.wandb,
            folder=folder,
            run_id=resolved.config_hash[:16],
            config={**described, "versions": versions(), "subset_sha256": data.subset.sha256},
        )

    settings = command.parser.dump(command.asked, skip_none=False)
    state = json.dumps(dataclasses.asdict(resolved), indent=1)
    return [
        LossLogger(),
        NeighbourGrid(folder / "panels.npz"),
        SampleHistory(folder / "trail.npz"),
        *measuring_callbacks(command.config, folder),  # which may refuse their settings
        RunFolder(
            folder,
            {CONFIG: settings, STATE: state},
            open_logger,
            held=held,
            moved_on=moved_on,
        ),
        RandomnessReport(),
        RecordWriter(
            folder,
            config=resolved.config,
            config_hash=resolved.config_hash,
            preset=command.config.preset,
        ),
        Progress(folder / "progress.json", quiet=command.config.quiet),
    ]


def _is_finished(folder: Path, resolved: Resolved) -> bool:
    """Whether the folder holds this very run, finished.

    Raises:
        UserError: if it holds a run with other settings, naming them.
    """
    if (folder / STATE).exists():
        try:
            state = json.loads((folder / STATE).read_bytes())
            earlier, earlier_hash = state["config"], state["config_hash"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise UserError(f"{folder / STATE} is damaged; remove {folder}") from error
        if earlier_hash != resolved.config_hash:
            names = [name for name, *_ in differences(earlier, resolved.config)]
            changed = ", ".join(names) or "the version"
            raise UserError(
                f"{folder} holds a run with other settings ({changed}); choose another --out or "
                "remove it"
            )
    if not (folder / RECORD).exists():
        return False
    return read_record(folder / RECORD).config_hash == resolved.config_hash


def _began_with(checkpoint: Path, folder: Path) -> bool:
    """Whether the run in the folder went on from this very checkpoint of another: it has its own.

    So the same command goes on where it was interrupted, and not at the beginning once more.
    """
    if checkpoint.resolve().parent == (folder / "checkpoints").resolve():
        return False
    try:
        config = json.loads((folder / STATE).read_bytes())["config"]
    except FileNotFoundError:
        return False
    return bool(config.get("ckpt_path") == str(checkpoint))


def _names(folder: Path) -> set[str]:
    """Of the checkpoints there."""
    return {path.name for path in folder.glob("step=*.ckpt")}
