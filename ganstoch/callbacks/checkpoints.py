"""Checkpoints that a run can be resumed from bit by bit."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

__all__ = ["Checkpoints"]


class Checkpoints(ModelCheckpoint):
    """One every so many iterations, one at the end, and one where the run is interrupted.

    Never one from within an iteration, where the discriminator may have taken a step that the
    counter has not seen, or a measurement may be missing. So Ctrl-C lets the iteration finish
    first; a second one does not, and the run then goes on from an earlier checkpoint.

    Args:
        folder: where they go; the last one stays.
        every: iterations between them.
    """

    def __init__(self, folder: Path, *, every: int) -> None:
        super().__init__(
            folder,
            filename="{step}",
            every_n_train_steps=every,
            save_top_k=1,
            save_on_exception=True,
            enable_version_counter=False,
        )
        self._between_iterations = False
        self._asked_to_stop = False
        self._handler: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes over Ctrl-C."""
        super().on_train_start(trainer, pl_module)
        self._between_iterations = self._asked_to_stop = False
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as under nohup
            self._handler = signal.signal(signal.SIGINT, self._on_ctrl_c)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From here on a checkpoint would hold half an iteration."""
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._between_iterations = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves where it is due, and stops where that was asked. Lightning calls this one last."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._between_iterations = True
        if self._asked_to_stop:
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the end, unless that has just been done."""
        if self._last_global_step_saved != trainer.global_step:
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
        self._give_back_ctrl_c()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Saves what there is, if it is whole."""
        if self._between_iterations:
            super().on_exception(trainer, pl_module, exception)
        self._give_back_ctrl_c()

    def _on_ctrl_c(self, number: int, frame: object) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt
        self._asked_to_stop = True
        # Not by print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping after this iteration; Ctrl-C again stops at once\n")

    def _give_back_ctrl_c(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None
