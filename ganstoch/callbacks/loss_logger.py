"""Writes what is measured to the trainer's loggers, on the axis of iterations.

Lightning's own `self.log` counts batches from 0 where the trainer counts steps from 1; everything
here is written at `trainer.global_step`, so that curves, checkpoints and `max_steps`
agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ganstoch.training.gan import GAN

__all__ = ["LossLogger", "write"]


def write(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Writes metrics at the current iteration to every logger, on the first rank only."""
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_metrics(dict(metrics), step=trainer.global_step)


class LossLogger(Callback):
    """Writes the losses every `trainer.log_every_n_steps` iterations.

    They stay on the device until then: reading one every iteration would stall it.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes the losses where it is due."""
        assert isinstance(pl_module, GAN)
        shared = trainer.world_size > 1  # then only the first rank knows whether anybody reads
        if (shared or trainer.loggers) and trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            losses = pl_module.losses
            alone = {name: loss.item() for name, loss in losses.items()}
            write(trainer, _averaged(trainer, losses) if shared else alone)


def _averaged(trainer: Trainer, losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Means over the ranks, which are those of the whole batch."""
    values = trainer.strategy.reduce(torch.stack([loss.double() for loss in losses.values()]))
    assert isinstance(values, Tensor)
    return dict(zip(losses, values.tolist(), strict=True))
