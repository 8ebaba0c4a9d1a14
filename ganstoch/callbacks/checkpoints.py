"""Checkpoints that a run can be resumed from bit by bit."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from ganstoch.callbacks.sealing import SealedIO, iteration_of

__all__ = ["Checkpoints"]


class Checkpoints(Checkpoint):
    """One every so many iterations, one at the end, and one where the run is interrupted.

    Never one from within an iteration, where the discriminator may have taken a step that the
    counter has not seen, or a measurement may be missing. So Ctrl-C and SIGTERM let the iteration
    finish first; a second one does not, and the run then goes on from an earlier checkpoint. The
    last two stay: should the last turn out damaged, there is the one before it.

    Args:
        folder: where they go.
        every: iterations between them.
        run: `config_hash` of the run, which its checkpoints are sealed with.

    Attributes:
        begun: whether training has begun, so that a checkpoint, if any, was taken up.
    """

    def __init__(self, folder: Path, *, every: int, run: str) -> None:
        self.folder = folder
        self.every = every
        self.run = run
        self.begun = False
        self._saved: int | None = None
        self._between_iterations = False
        self._asked_to_stop = False
        self._handlers: dict[signal.Signals, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Has the trainer write and read its checkpoints sealed."""
        trainer.strategy.checkpoint_io = SealedIO(self.run)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Does what a kill right after a checkpoint has left undone."""
        resumed = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        if resumed is not None and resumed.resolve().parent == self.folder.resolve():
            step = iteration_of(resumed.resolve())
            if step is not None:
                self._let_go(trainer, step=step)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes over Ctrl-C and SIGTERM.

        Lightning's answer to SIGTERM is a message between ranks from within the signal's handler,
        which may come in the middle of another.
        """
        self.begun = True
        self._saved = None
        self._between_iterations = self._asked_to_stop = False
        if threading.current_thread() is not threading.main_thread():
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if callable(signal.getsignal(signal.SIGUSR1)):  # under Slurm: would save half an iteration
            numbers.append(signal.SIGUSR1)
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From here on a checkpoint would hold half an iteration."""
        self._between_iterations = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves where it is due, and stops where that was asked. Lightning calls this one last."""
        if trainer.global_step % self.every == 0:
            self._save(trainer)
        self._between_iterations = True
        # A signal may reach one rank only, and saving takes all of them.
        if trainer.strategy.reduce_boolean_decision(self._asked_to_stop, all=False):
            self._save(trainer)
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the end, unless that has just been done."""
        self._save(trainer)
        self._give_back_signals()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Saves what there is, if it is whole; an error of one rank alone is no time to meet."""
        if self._between_iterations and trainer.world_size == 1:
            self._save(trainer)
        self._give_back_signals()

    def _save(self, trainer: Trainer) -> None:
        """Saves this iteration, unless that has been done."""
        step = trainer.global_step
        if step == self._saved:
            return
        self._saved = step  # also if it fails: a full disk is not asked again by `on_exception`
        # Of what is saved, the optimisers too; loading unpickles nothing, see `SealedIO`.
        trainer.save_checkpoint(self.folder / f"step={step}.ckpt", weights_only=False)
        self._let_go(trainer, step=step)

    def _let_go(self, trainer: Trainer, *, step: int) -> None:
        """Removes all checkpoints but one and the one before it."""
        if not trainer.is_global_zero:
            return
        there = {path: iteration_of(path) for path in self.folder.glob("step=*.ckpt")}
        earlier = max((i for i in there.values() if i is not None and i < step), default=None)
        for path, iteration in there.items():
            if iteration is not None and iteration not in (step, earlier):
                trainer.strategy.remove_checkpoint(path)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt
        self._asked_to_stop = True
        # Not by print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping after this iteration; asked again, at once\n")

    def _give_back_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
