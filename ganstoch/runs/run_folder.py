"""The moment at which a run takes possession of its folder: when nothing can refuse it any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import torch
from filelock import FileLock, Timeout
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.records import RUN_LOCK, sweep_up, write_atomically
from ganstoch.runs.emulation import emulated
from ganstoch.runs.pool import BUSY
from ganstoch.training.gan import GAN

__all__ = ["Busy", "RunFolder"]

_log = logging.getLogger("ganstoch")


class Busy(UserError):
    """Another process is at work on the run."""

    status: ClassVar[int] = BUSY


class RunFolder(Callback):
    """Claims the run's folder, writes its settings and opens its log.

    By now the data are read, the networks are made and a checkpoint, if any, is loaded. What a
    command that was refused leaves behind must not stand in the way of the corrected one.

    Args:
        folder: the run's folder.
        files: what to write there, by name.
        open_logger: makes the logger, once the data are known.
        held: keeps the claim until whoever made it has finished.
        moved_on: whether another process has taken the run further since this one looked.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str],
        open_logger: Callable[[ImageData], Logger | None],
        *,
        held: ExitStack,
        moved_on: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self.files = files
        self.open_logger = open_logger
        self.held = held
        self.moved_on = moved_on

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses data of another shape than the networks are for."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        assert isinstance(pl_module, GAN)
        if data.shape != tuple(pl_module.shape):
            raise UserError(
                f"model.shape is {list(pl_module.shape)}, and the examples of {data.source.name} "
                f"have shape {list(data.shape)}; give that, and networks to go with it"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Claims, writes, and makes the logger.

        Raises:
            Busy: if another process is at work on the run, or was a moment ago.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        assert isinstance(pl_module, GAN)
        assert pl_module.latents is not None
        pl_module.latents.draw(0, data.batch_size, device=torch.device("cpu"))  # refuses a bank < m
        if not trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # A moment's patience: whoever looks whether it is held holds it for an instant.
            self.held.enter_context(FileLock(self.folder / RUN_LOCK, timeout=1.0))
        except Timeout as error:
            raise Busy(
                f"another process is at work on {self.folder}; wait for it, or choose another --out"
            ) from error
        if self.moved_on():
            raise Busy(f"another process was at work on {self.folder}; the same command goes on")
        sweep_up(self.folder)
        sweep_up(self.folder / "checkpoints")
        if trainer.ckpt_path:
            _log.info("going on from %s", trainer.ckpt_path)
        if slow := emulated(trainer.precision, trainer.strategy.root_device):
            _log.warning("%s", slow)
        for name, text in self.files.items():
            write_atomically(self.folder / name, text.encode())
        logger = self.open_logger(data)
        trainer.loggers = [*([logger] if logger else []), *trainer.loggers]

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Where somebody stops the run, has its sweep hand it out again."""
        if trainer.logger and isinstance(exception, KeyboardInterrupt | SIGTERMException):
            from ganstoch.runs.steady_logger import mark_preempting  # brings wandb

            mark_preempting(trainer.logger)
