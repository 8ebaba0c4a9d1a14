"""How far a run has come: a bar on a terminal, lines elsewhere, a file for whoever waits."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

from ganstoch.callbacks.evaluation import Evaluation

__all__ = ["Progress"]

SHOWN = {"overfitting/pixel_l1/mean": "overfitting", "mode_drop/pixel_l1/mean": "mode drop"}


class Progress(Callback):
    """Iterations per second, time left and the latest metrics.

    Args:
        path: file that holds the current iteration, for whoever waits for this run.
        quiet: whether to leave the terminal alone and only keep the file.
        line_every: seconds between lines where the output is no terminal.
        file_every: seconds between updates of the file.
    """

    def __init__(
        self, path: Path, *, quiet: bool = False, line_every: float = 30.0, file_every: float = 1.0
    ) -> None:
        self.path = path
        self.quiet = quiet
        self.line_every = line_every
        self.file_every = file_every
        self._bar: tqdm[Any] | None = None
        self._told = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the bar where the run, or what is left of it, starts."""
        self._told = 0.0
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=trainer.max_steps,
            initial=trainer.global_step,
            unit="it",
            file=sys.stderr,
            disable=self.quiet or not trainer.is_global_zero,
            mininterval=0.5 if terminal else self.line_every,
            ncols=None if terminal else 100,
            dynamic_ncols=terminal,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves on by one iteration."""
        assert self._bar is not None
        self._bar.update(1)
        now = time.monotonic()
        if now - self._told >= self.file_every:
            self._told = now
            self._tell(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the bar."""
        self._tell(trainer)
        if self._bar is not None:
            self._bar.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leaves the terminal clean for the message that follows."""
        if self._bar is not None:
            self._bar.close()

    def _tell(self, trainer: Trainer) -> None:
        evaluation = next(c for c in trainer.callbacks if isinstance(c, Evaluation))  # type: ignore[attr-defined]
        metrics = evaluation.history[-1].metrics if evaluation.history else {}
        shown = {word: round(metrics[name], 2) for name, word in SHOWN.items() if name in metrics}
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
        if trainer.is_global_zero:
            state = {"iteration": trainer.global_step, "of": trainer.max_steps, **shown}
            # Not worth an fsync, and its loss costs nothing; still never seen half-written.
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(self.path)
