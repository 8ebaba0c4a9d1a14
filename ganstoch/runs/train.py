"""Training itself, and what goes wrong in it in one line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, LightningModule, Trainer

from ganstoch.callbacks.checkpoints import Checkpoints
from ganstoch.errors import UserError

__all__ = ["train"]


def train(
    trainer: Trainer, game: LightningModule, data: LightningDataModule, checkpoint: Path | None
) -> None:
    """Trains, from a checkpoint if there is one, and tells what went wrong in one line."""
    try:
        with _ending_together(trainer):
            trainer.fit(game, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        saving = trainer.checkpoint_callback
        if checkpoint is None or not isinstance(saving, Checkpoints) or saving.begun:
            raise
        raise UserError(
            f"{checkpoint} holds something else than this version saves ({error}); give another "
            "--ckpt_path, or remove it"
        ) from error
    except MisconfigurationException as error:
        raise UserError(str(error)) from error
    except SystemExit as error:  # how Lightning ends at Ctrl-C and at SIGTERM
        raise KeyboardInterrupt from error


@contextmanager
def _ending_together(trainer: Trainer) -> Iterator[None]:
    """While ranks start, and until they take signals over, SIGTERM ends them with this process."""
    if trainer.world_size == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
