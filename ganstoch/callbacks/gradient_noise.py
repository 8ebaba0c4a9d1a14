"""When to measure signal and noise of the players' gradients, and where the numbers go.

[1] Yazici et al. 2020, Sec. 3: late in training "stochasticity dominates". This measures whether.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from ganstoch.callbacks.loss_logger import write
from ganstoch.callbacks.player_gradients import measure_players, obstacle
from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.metrics.gradient_noise import GradientNoise as Measured
from ganstoch.records import write_atomically
from ganstoch.training.gan import GAN

__all__ = ["FILE", "GradientNoise", "GradientNoiseSettings"]

FILE = "gradient_noise.json"
SCHEMA = 1
"""Version of the file's layout."""


@dataclass(frozen=True)
class GradientNoiseSettings:
    """What is asked of the measurement.

    Attributes:
        every: iterations between measurements; the start and the end are always measured.
        draws: noises on every latent where there is noise, or fresh latents for every image where
            latents are fresh: what the estimates of these rows rest on.
    """

    every: int
    draws: int = 4


class GradientNoise(Callback):
    """Measures |g|^2 and the variance of the mini-batch's gradient along training.

    It draws from a stream of its own and touches no weight: training goes the same way with it or
    without. Leaves `gradient_noise.json` in the run's folder, before the record.

    Args:
        folder: the run's.
        settings: when to measure, and on how many draws.
        quiet: whether to leave the terminal alone.

    Attributes:
        history: for every iteration measured, the players' values by name.

    Raises:
        UserError: for a setting out of its range.
    """

    def __init__(
        self, folder: Path, settings: GradientNoiseSettings, *, quiet: bool = False
    ) -> None:
        if settings.every < 1:
            raise UserError(f"gradient_noise.every must be 1 or more, got {settings.every}")
        if settings.draws < 2:
            raise UserError(f"gradient_noise.draws must be 2 or more, got {settings.draws}")
        self.folder = folder
        self.settings = settings
        self.quiet = quiet
        self.history: dict[int, dict[str, Measured]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses a game whose gradients are more than sums over single examples.

        Raises:
            UserError: naming who makes them so.
        """
        assert isinstance(pl_module, GAN)
        if by := obstacle(pl_module):
            raise UserError(
                f"gradient_noise is exact only where every example has a gradient of its own, and "
                f"{by} adds to it or ties examples together; set gradient_noise to null"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures the beginning."""
        if trainer.global_step == 0:
            self._measure(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measures where it is due."""
        if trainer.global_step % self.settings.every == 0:
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures the end."""
        self._measure(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures a run that was resumed after its end, where nothing trains; leaves the file."""
        if trainer.global_step not in self.history:
            pl_module.to(trainer.strategy.root_device)  # Lightning has moved it away by now
            self._measure(trainer, pl_module)
        if trainer.is_global_zero:
            write_atomically(self.folder / FILE, self._text(trainer, pl_module).encode())

    def state_dict(self) -> dict[str, Any]:
        """What has been measured so far, so that a resumed run has all of it."""
        history = {
            iteration: {name: dataclasses.asdict(found) for name, found in players.items()}
            for iteration, players in self.history.items()
        }
        return {"every": self.settings.every, "history": history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the history of the run that is resumed."""
        self.history = {
            iteration: {name: Measured(**values) for name, values in players.items()}
            for iteration, players in state_dict["history"].items()
        }

    def _measure(self, trainer: Trainer, game: LightningModule) -> None:
        iteration = trainer.global_step
        if iteration in self.history or not trainer.is_global_zero:
            return
        assert isinstance(game, GAN)
        found = measure_players(
            game,
            _data(trainer),
            iteration=iteration,
            draws=self.settings.draws,
            quiet=self.quiet,
        )
        for player, measured in found.items():
            if not math.isfinite(measured.signal + measured.noise):
                raise UserError(
                    f"the {player}'s gradient is not finite at iteration {iteration}: training has "
                    "diverged; lower model.optimizer.lr"
                )
        self.history[iteration] = found
        named = {
            f"gradient/{player}/{name}": value
            for player, measured in found.items()
            for name, value in _values(measured).items()
        }
        write(trainer, {name: value for name, value in named.items() if value is not None})

    def _text(self, trainer: Trainer, game: LightningModule) -> str:
        assert isinstance(game, GAN)
        assert game.latents is not None
        data = _data(trainer)
        latents = game.latents
        content = {
            "schema": SCHEMA,
            "every": self.settings.every,
            "n": len(data.subset.ids),
            "m": data.batch_size,
            "bank": latents.count,
            "noise": latents.noise,
            "sampling": data.sampling,
            "draws": self.settings.draws if latents.noise or latents.count is None else None,
            "history": [
                {"iteration": iteration}
                | {player: _values(measured) for player, measured in players.items()}
                for iteration, players in sorted(self.history.items())
            ],
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _values(measured: Measured) -> dict[str, float | None]:
    return {
        "signal": measured.signal,
        "noise": measured.noise,
        "ratio": measured.ratio,
        "critical_batch": measured.critical_batch,
    }


def _data(trainer: Trainer) -> ImageData:
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, ImageData)
    return data
