"""Checkpoints that a run can be resumed from bit by bit, checked by torch's own CRC-32."""

import io
import logging
import os
import re
import signal
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from ganstoch.callbacks.evaluation import end_epoch
from ganstoch.errors import UserError
from ganstoch.records import write_atomically

_log = logging.getLogger("ganstoch")

RUN = "ganstoch_run"  # key of the run's `config_hash` in a checkpoint
# What a checkpoint of a run holds, among other things, and of what type.
_PARTS: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "callbacks": dict,
    "loops": dict,
    "global_step": int,
    "pytorch-lightning_version": str,
}
# Callbacks of 0.5.0 with a state, and what they are called now.
_RENAMED = {"Recorder": "RecordWriter", "Trail": "SampleHistory"}


class AtomicCheckpointIO(CheckpointIO):
    """Writes a checkpoint whole or not at all, and reads it without unpickling anything else."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Writes the file; `UserError` if the disk is full or the place is not writable."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getbuffer())

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Reads tensors and plain values; `UserError` if the file is gone."""
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise UserError(
                f"{path} is gone, as another process is at work on its run; wait for that, or "
                "choose another --out"
            ) from error
        return _converted(content)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Removes the file."""
        Path(path).unlink(missing_ok=True)


class Checkpoints(Checkpoint):
    """Saves every so many iterations, at the end, and where the run is interrupted.

    A checkpoint is never of the middle of an iteration: Ctrl-C and SIGTERM let it finish, a second
    one does not. The last two stay, in case the last is damaged. ``run`` is the `config_hash`.
    """

    def __init__(self, folder: Path, *, every: int, run: str) -> None:
        self.folder = folder
        self.every = every
        self.run = run
        self.begun = False  # whether training has, so that a checkpoint, if any, has been loaded
        self._saved: int | None = None
        self._between_iterations = False
        self._stop_requested = False
        self._handlers: dict[signal.Signals, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Has the trainer write and read its checkpoints this way."""
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Says in the checkpoint whose it is."""
        checkpoint[RUN] = self.run

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the older checkpoints that a kill right after the last one has left."""
        if trainer.ckpt_path:
            for step, path in _checkpoints_in(self.folder).items():
                if path.resolve() == Path(trainer.ckpt_path).resolve():
                    self._remove_older(trainer, step=step)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes over Ctrl-C and SIGTERM."""
        self.begun = True
        self._saved = None
        self._between_iterations = self._stop_requested = False
        if threading.current_thread() is not threading.main_thread():
            return
        # Lightning answers SIGTERM by a message between ranks from within the signal's handler,
        # which may come in the middle of another.
        numbers = [signal.SIGINT, signal.SIGTERM]
        if callable(signal.getsignal(signal.SIGUSR1)):  # under Slurm: would save half an iteration
            numbers.append(signal.SIGUSR1)
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_start(self, *_: Any) -> None:
        """Notes that a checkpoint would hold half an iteration from here on."""
        self._between_iterations = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Saves where it is due, and stops where that was requested. Lightning calls it last."""
        end_epoch(trainer, pl_module)
        if trainer.global_step % self.every == 0:
            self._save(trainer)
        self._between_iterations = True
        # A signal may reach one rank only, and saving takes all of them.
        if trainer.strategy.reduce_boolean_decision(self._stop_requested, all=False):
            self._save(trainer)
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the end, unless that has just been done."""
        self._save(trainer)
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, *_: Any) -> None:
        """Saves between iterations; not on several ranks, of which only one may have failed."""
        if self._between_iterations and trainer.world_size == 1:
            self._save(trainer)
        self._restore_handlers()

    def _save(self, trainer: Trainer) -> None:
        step = trainer.global_step
        if step == self._saved:
            return
        self._saved = step  # also if it fails: `on_exception` does not try a full disk again
        # Of what is saved, the optimizers too; loading unpickles nothing else.
        trainer.save_checkpoint(self.folder / f"step={step}.ckpt", weights_only=False)
        self._remove_older(trainer, step=step)

    def _remove_older(self, trainer: Trainer, *, step: int) -> None:
        """Removes all checkpoints but one and the one before it."""
        if not trainer.is_global_zero:
            return
        files = _checkpoints_in(self.folder)
        earlier = max((iteration for iteration in files if iteration < step), default=None)
        for iteration, path in files.items():
            if iteration not in (step, earlier):
                trainer.strategy.remove_checkpoint(path)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._stop_requested:
            raise KeyboardInterrupt
        self._stop_requested = True
        # Not by print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping after this iteration; asked again, at once\n")

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()


def newest_checkpoint(folder: Path, *, run: str) -> Path | None:
    """The last undamaged checkpoint of the run with this `config_hash`; others are warned of."""
    for _, path in sorted(_checkpoints_in(folder).items(), reverse=True):
        try:
            if _read(path).get(RUN, run) == run:
                return path
            problem = "is of another run"
        except ValueError as error:
            problem = str(error)
        _log.warning("%s %s; going on from the one before it", path, problem)
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Opens a sound checkpoint of `ganstoch fit`; its numbers are read from the file when used."""
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}; give another file")
    try:
        return _read(path)
    except ValueError as error:
        raise UserError(f"{path} {error}; give another file, or remove it") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            content: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # a damaged file raises almost anything
        raise ValueError("is damaged, or no checkpoint at all") from error
    if damaged is not None:
        raise ValueError(f"is damaged: the checksum of its part {damaged} is wrong")
    if not _is_of_a_run(content):
        raise ValueError("is no checkpoint of ganstoch fit")
    return _converted(content)


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


def _converted(content: dict[str, Any]) -> dict[str, Any]:
    """With the states of callbacks under the names that they have now."""
    states = content["callbacks"]
    content["callbacks"] = {_RENAMED.get(name, name): state for name, state in states.items()}
    return content


def _checkpoints_in(folder: Path) -> dict[int, Path]:
    """The files ``step=ITERATION.ckpt`` by iteration."""
    files = [path for path in folder.glob("step=*.ckpt") if path.stem[5:].isdecimal()]
    return {step_of(path): path for path in files}


def step_of(checkpoint: Path) -> int:
    """The iteration of a file ``step=ITERATION.ckpt``."""
    return int(checkpoint.stem.removeprefix("step="))
