"""`ganstoch fit --seeds 0,1,2`: several seeds of one small game in one process, as one.

Each seed has its own data, game, callbacks and record, as if it were alone; what they share is the
trainer, whose one iteration plays all of them (see `ganstoch.training.ensemble`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer

from ganstoch.callbacks.checkpoints import Checkpoints
from ganstoch.data.datamodule import ImageData, StepCounter
from ganstoch.errors import UserError
from ganstoch.training.ensemble import Ensemble
from ganstoch.training.gan import GAN
from ganstoch.types import Batch

__all__ = ["Member", "ensemble_of", "place_of", "without_seeds"]


@dataclass(frozen=True, slots=True)
class Member:
    """One seed's share of an ensemble: everything that a run by itself would have."""

    game: GAN
    data: ImageData
    callbacks: Sequence[Callback]


class _Seat:
    """The trainer as one seed's callbacks see it: its own data, callbacks and loggers."""

    def __init__(self, trainer: Trainer, member: Member) -> None:
        self._trainer = trainer
        self.datamodule = member.data
        self.callbacks = list(member.callbacks)
        self.loggers: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)


class _Together(Callback):
    """Hands every event of the ensemble to the callbacks of all seeds."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self._seats: list[Any] = []

    def _tell(self, hook: str, *arguments: Any) -> None:
        for seat, member in zip(self._seats, self.members, strict=True):
            for callback in member.callbacks:
                getattr(callback, hook)(seat, member.game, *arguments)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Seats the seeds."""
        self._seats = [_Seat(trainer, member) for member in self.members]
        self._tell("setup", stage)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Passes it on."""
        self._tell("on_fit_start")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Passes it on."""
        self._tell("on_train_start")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Passes it on."""
        self._tell("on_train_batch_end", outputs, batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Passes it on."""
        self._tell("on_train_end")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Passes it on; Lightning may have moved the ensemble by now."""
        assert isinstance(pl_module, Ensemble)
        pl_module.to_members()
        self._tell("on_fit_end")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Passes it on."""
        self._tell("on_exception", exception)

    def state_dict(self) -> dict[str, Any]:
        """Every callback's state, seed by seed."""
        states = [{c.state_key: c.state_dict() for c in m.callbacks} for m in self.members]
        return {"members": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Gives every callback its state back."""
        for member, states in zip(self.members, state_dict["members"], strict=True):
            for callback in member.callbacks:
                callback.load_state_dict(states[callback.state_key])


class _Data(LightningDataModule):
    """The seeds' data side by side."""

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.members = members

    def prepare_data(self) -> None:
        """Prepares each."""
        for member in self.members:
            member.data.prepare_data()

    def setup(self, stage: str) -> None:
        """Sets each up, and deals its game the latents."""
        for member in self.members:
            member.data.setup(stage)
            member.game.deal_from(member.data)

    def train_dataloader(self) -> StepCounter:
        """As `ImageData` has it."""
        return StepCounter()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Batch, ...]:
        """Every seed's own draw of the iteration."""
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        iteration = self.trainer.global_step
        return tuple(member.data.batch(iteration, device=device) for member in self.members)


def without_seeds(arguments: Sequence[str]) -> list[str]:
    """A command line of `ganstoch fit` without ``--seeds``."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--seeds":
            next(words, None)
        elif not word.startswith("--seeds="):
            kept.append(word)
    return kept


def ensemble_of(
    members: Sequence[Member], trainer: Trainer, checkpoints: Checkpoints
) -> tuple[Ensemble, LightningDataModule]:
    """What a trainer needs to play several seeds as one.

    Args:
        members: the seeds.
        trainer: it gets the callbacks it needs, in place of its own.
        checkpoints: of all of them together.

    Returns:
        The ensemble and its data.

    Raises:
        UserError: for remedies, networks, devices or a precision that need a run of their own.
    """
    if trainer.precision not in ("32-true", "64-true"):
        raise UserError(
            f"--seeds plays in full precision only, not {trainer.precision}; leave out --seeds or "
            "set trainer.precision to 32-true"
        )
    if trainer.world_size > 1:
        raise UserError("--seeds plays on one device; set trainer.devices to 1, or leave it out")
    stops = [getattr(c, "stop", False) for m in members for c in m.callbacks]
    if any(stops):
        raise UserError(
            "--seeds ends all seeds at once; set stop_rule.stop to false, or leave it out"
        )
    trainer.callbacks = [_Together(members), checkpoints]  # type: ignore[attr-defined]
    return Ensemble([member.game for member in members]), _Data(members)


def place_of(hashes: Sequence[str], parent: Path) -> tuple[Path, str]:
    """Folder of the checkpoints of seeds played as one, and the digest that seals them.

    Args:
        hashes: of the runs' configurations.
        parent: of the runs' folders.
    """
    run = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return parent / f"together-{run[:8]}" / "checkpoints", run
