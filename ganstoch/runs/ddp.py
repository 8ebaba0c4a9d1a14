"""One run on several devices: how Lightning comes to share it out our way, and what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import StrategyRegistry

from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.runs.measuring import refuse_shared
from ganstoch.training.distributed import Ranks
from ganstoch.training.gan import GAN

__all__ = ["refuse_sharing", "shared_by_ranks"]

_NAME = "ddp"


@contextmanager
def shared_by_ranks() -> Iterator[None]:
    """Within it, a trainer's "ddp", which is its "auto" on several devices, means `Ranks`."""
    theirs = StrategyRegistry[_NAME]
    StrategyRegistry.register(_NAME, Ranks, description=Ranks.__doc__ or "", override=True)
    try:
        yield
    finally:
        StrategyRegistry[_NAME] = theirs


def refuse_sharing(config: Namespace, trainer: Trainer, game: GAN, data: ImageData) -> None:
    """Refuses a run that does not go on the trainer's devices, before any process is started.

    Args:
        config: every setting of `ganstoch fit`.
        trainer: made within `shared_by_ranks`.
        game: not set up yet.
        data: neither.

    Raises:
        UserError: naming what is in the way.
    """
    devices = trainer.world_size
    if devices > 1 and not isinstance(trainer.strategy, Ranks):
        raise UserError(
            f"trainer.strategy {config.trainer.strategy} is not offered on {devices} devices; "
            "leave it out"
        )
    game.check_ranks(data, world=devices)
    refuse_shared(config, devices=devices)
