"""A short fit without record, checkpoint, progress bar or messages."""

import logging
import warnings
from collections.abc import Sequence

from pytorch_lightning import Callback, Trainer

from ganstoch.data.datamodule import ImageData
from ganstoch.training.gan import GAN


def silent_fit(
    gan: GAN,
    data: ImageData,
    *,
    iterations: int,
    callbacks: Sequence[Callback] = (),
    accelerator: str = "auto",
) -> None:
    """Trains a GAN in place."""
    loud = logging.getLogger("pytorch_lightning")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            Trainer(
                accelerator=accelerator,
                devices=1,
                max_epochs=-1,
                max_steps=iterations,
                logger=False,
                callbacks=list(callbacks),
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            ).fit(gan, datamodule=data)
    finally:
        loud.setLevel(level)
