"""What to do where a GPU's memory turns out too small for the images that it is given at once."""

from __future__ import annotations

import gc
import logging

import torch

from ganstoch.errors import UserError
from ganstoch.runs.command import Command
from ganstoch.training.gan import GAN

__all__ = ["half", "let_go"]

_log = logging.getLogger("ganstoch")


def half(command: Command) -> int:
    """How many images at once may fit where those of this run did not; says so in a line.

    Raises:
        UserError: if they cannot be fewer, or other processes wait for this one.
    """
    game: GAN = command.model
    if game.micro_batch == "auto" or game.full_batch_for or command.trainer.world_size > 1:
        raise _out_of_memory(command)  # "auto": the networks alone do not fit
    at_once = min(game.micro_batch or game.m, game.m)
    if at_once < 2:
        raise _out_of_memory(command)
    smaller = -(-at_once // 2)
    _log.warning(
        "the GPU's memory is full with %d images at once; going on with %d, which gives the same "
        "result to rounding",
        at_once,
        smaller,
    )
    return smaller


def _out_of_memory(command: Command) -> UserError:
    """The one line for it."""
    by = command.model.full_batch_for
    mend = f"lower data.m: {by} takes whole batches" if by else "lower model.micro_batch"
    return UserError(f"the GPU's memory is full; {mend}, or narrow the networks")


def let_go(command: Command) -> None:
    """Ends a run's log and frees its memory; the command is of no use afterwards."""
    for logger in command.trainer.loggers:
        logger.finalize("success")  # the next one goes on under the same id
    del command.trainer, command.model, command.datamodule
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
