"""When to measure signal and noise of the players' gradients, and where the numbers go.

[1] Yazici et al. 2020, Sec. 3: late in training "stochasticity dominates". This measures whether.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from ganstoch.callbacks.player_gradients import measure_players, obstacle
from ganstoch.callbacks.progress import Periodic, data_of, log_metrics
from ganstoch.errors import UserError
from ganstoch.metrics.gradient_noise import GradientNoise as Measured
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


class GradientNoise(Periodic):
    """Measures |g|^2 and the variance of the mini-batch's gradient along training.

    It draws from a stream of its own and touches no weight: training goes the same way with it or
    without. Leaves `gradient_noise.json` in the run's folder, before the record.

    Args:
        settings: when to measure, and on how many draws.
        path: the file that it leaves, `gradient_noise.json` in the run's folder.
        quiet: whether to leave the terminal alone.

    Attributes:
        history: for every iteration measured, the players' values by name.

    Raises:
        UserError: for a setting out of its range.
    """

    at_start = True

    def __init__(self, settings: GradientNoiseSettings, path: Path, *, quiet: bool = False) -> None:
        super().__init__(settings.every, name="gradient_noise", path=path)
        if settings.draws < 2:
            raise UserError(f"gradient_noise.draws must be 2 or more, got {settings.draws}")
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

    def is_measured(self, iteration: int) -> bool:
        """Whether this iteration has been measured."""
        return iteration in self.history

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

    def measure(
        self, trainer: Trainer, module: LightningModule, iteration: int, *, last: bool
    ) -> None:
        """Measures both players' gradients."""
        if not trainer.is_global_zero:
            return
        assert isinstance(module, GAN)
        players = measure_players(
            module,
            data_of(trainer),
            iteration=iteration,
            draws=self.settings.draws,
            quiet=self.quiet,
        )
        for player, noise in players.items():
            if not math.isfinite(noise.signal + noise.noise):
                raise UserError(
                    f"the {player}'s gradient is not finite at iteration {iteration}: training has "
                    "diverged; lower model.optimizer.lr"
                )
        self.history[iteration] = players
        values = {
            f"gradient/{player}/{name}": value
            for player, noise in players.items()
            for name, value in _values(noise).items()
        }
        log_metrics(trainer, {name: value for name, value in values.items() if value is not None})

    def content(self, trainer: Trainer, module: LightningModule) -> dict[str, Any]:
        """What `gradient_noise.json` holds."""
        assert isinstance(module, GAN)
        assert module.latents is not None
        data, latents = data_of(trainer), module.latents
        return {
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
                | {player: _values(noise) for player, noise in players.items()}
                for iteration, players in sorted(self.history.items())
            ],
        }


def _values(measured: Measured) -> dict[str, float | None]:
    return {
        "signal": measured.signal,
        "noise": measured.noise,
        "ratio": measured.ratio,
        "critical_batch": measured.critical_batch,
    }
