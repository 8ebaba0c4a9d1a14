"""Signal and noise of both players' gradients along training, at the run's batch size m.

[1] Yazici et al. 2020, Sec. 3. Measured between two iterations, with the spectral norms refined as
the next update will: D's is the gradient it will follow, G's is against D before that update.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.callbacks.progress import Periodic, data_of, log_metrics
from ganstoch.data.datamodule import ImageData
from ganstoch.data.subset import Sampling
from ganstoch.errors import UserError
from ganstoch.latents import Latents
from ganstoch.metrics import gradient_noise as estimates
from ganstoch.models.layers import frozen, needs_full_batch
from ganstoch.objectives import Pointwise
from ganstoch.remedies.base import changes_gradients
from ganstoch.rng import normal, rng_for
from ganstoch.training.example_gradients import collect
from ganstoch.training.gan import GAN
from ganstoch.types import to_signed

FILE = "gradient_noise.json"
SCHEMA = 1  # version of the file's layout
EXAMPLES = 64  # in a pass; of a layer's gradients there are fewer at a time, see `collect`


@dataclass(frozen=True)
class GradientNoiseSettings:
    """When to measure, and on how many draws.

    Attributes:
        every: iterations between measurements; the start and the end are always measured.
        draws: noises on every latent, or fresh latents for every image, that estimates rest on.
    """

    every: int
    draws: int = 4


class GradientNoise(Periodic):
    """Measures |g|^2 and the variance of a batch's gradient; leaves `gradient_noise.json`."""

    at_start = True

    def __init__(self, settings: GradientNoiseSettings, path: Path) -> None:
        super().__init__(settings.every, name="gradient_noise", path=path)
        if settings.draws < 2:
            raise UserError(f"gradient_noise.draws must be 2 or more, got {settings.draws}")
        self.settings = settings
        self.history: dict[int, dict[str, estimates.GradientNoise]] = {}  # by iteration and player

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses a run whose gradients are more than sums over single examples."""
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
            iteration: {name: dataclasses.asdict(noise) for name, noise in players.items()}
            for iteration, players in self.history.items()
        }
        return {"every": self.settings.every, "history": history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the history of the run that is resumed."""
        self.history = {
            iteration: {name: estimates.GradientNoise(**values) for name, values in players.items()}
            for iteration, players in state_dict["history"].items()
        }

    def measure(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        """Measures both players' gradients."""
        if not trainer.is_global_zero:
            return
        assert isinstance(module, GAN)
        data, draws = data_of(trainer), self.settings.draws
        players = measure_players(module, data, iteration=iteration, draws=draws)
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
            if value is not None
        }
        log_metrics(trainer, values)

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


def _values(noise: estimates.GradientNoise) -> dict[str, float | None]:
    """What is logged and left in the file of a player."""
    return {name: getattr(noise, name) for name in ("signal", "noise", "ratio", "critical_batch")}


def obstacle(gan: GAN) -> str | None:
    """Who makes a gradient more than a sum over single examples, as packs and penalties do."""
    for network in (gan.generator, gan.discriminator):
        if needs_full_batch(network):
            return type(network).__name__
    for remedy in gan.remedies:
        if changes_gradients(remedy):
            return type(remedy).__name__
    return None if isinstance(gan.objective, Pointwise) else type(gan.objective).__name__


def measure_players(
    gan: GAN, data: ImageData, *, iteration: int, draws: int
) -> dict[str, estimates.GradientNoise]:
    """Both players' signal and noise, under ``discriminator`` and ``generator``.

    Exact for a fixed bank without noise; else an estimate, from ``draws`` noises on every latent of
    the bank, or ``draws`` n fresh latents. ``iteration`` is the coming one. No GAN with `obstacle`.
    """
    assert isinstance(gan.objective, Pointwise)
    assert gan.latents is not None
    objective, discriminator, generator = gan.objective, gan.discriminator, gan.generator
    dtype, m = next(generator.parameters()).dtype, data.batch_size
    z = _latents(gan, draws=draws).to(dtype)
    group = draws if gan.latents.noise > 0 and gan.latents.count is not None else 1
    pixels = data.subset.pixels

    def signed(x: Tensor) -> Tensor:
        return to_signed(x, dtype=dtype) if x.dtype == torch.uint8 else x.to(dtype)

    def sums(
        network: nn.Module,
        examples: Tensor,
        inputs: Callable[[Tensor], Tensor],
        losses: Callable[[Any], Tensor],
        group: int = 1,
    ) -> estimates.GradientSums:
        """Over all examples' gradients, of which ``group`` neighbours are draws of the same."""
        total, device = estimates.GradientSums(draws=group), next(network.parameters()).device
        for block in torch.split(examples, -(-EXAMPLES // group) * group):
            collect(network, inputs(block.to(device)), losses, total, group=group)
        return total

    with _refined(gan), torch.no_grad():
        real = sums(discriminator, pixels, signed, lambda d: objective.real_loss(d.logits))
        fake = sums(
            discriminator, z, generator.forward, lambda d: objective.fake_loss(d.logits), group
        )
        with frozen(discriminator):
            of_generator = sums(
                generator,
                z,
                lambda z: z,
                lambda images: objective.generator_loss(discriminator.forward(images).logits),
                group,
            )
    share = _share_of_images(data.sampling, n=real.count, m=m, iteration=iteration)
    latents = gan.latents
    return {
        "discriminator": estimates.combine(
            [estimates.finite(real, size=m, share=share), _side(fake, latents, m=m)]
        ),
        "generator": estimates.combine([_side(of_generator, latents, m=m)]),
    }


def _side(sums: estimates.GradientSums, latents: Latents, *, m: int) -> estimates.Side:
    """Signal and noise of what hangs on the latents, by how they are drawn."""
    if latents.count is None:
        return estimates.endless(sums, size=m)
    share = estimates.share_of_pieces([m], count=latents.count)
    return estimates.finite(sums, size=m, share=share)


def _share_of_images(rule: Sampling, *, n: int, m: int, iteration: int) -> float:
    """Noise of a batch of m images over that of one, by how they are drawn."""
    if rule == "exactly_once":
        return 0.0
    if rule == "with_replacement":
        return 1.0 / m
    left = n - iteration * m % n  # of the epoch that the batch begins in
    return estimates.share_of_pieces([m] if m <= left else [left, m - left], count=n)


def _latents(gan: GAN, *, draws: int) -> Tensor:
    """The latents to go through: each of the bank, or each under several noises, or fresh ones."""
    latents = gan.latents
    assert latents is not None
    rng = rng_for(gan.seed, "evaluation", part="gradient noise")
    if latents.fixed is None:
        z = normal((draws * gan.n, latents.dim), rng)
    else:
        z = latents.fixed.repeat_interleave(draws, dim=0) if latents.noise else latents.fixed
    return (
        z.add(normal(tuple(z.shape), rng), alpha=math.sqrt(latents.noise)) if latents.noise else z
    )


@contextmanager
def _refined(gan: GAN) -> Iterator[None]:
    """The discriminator as the next update will have it, and afterwards as it was."""
    before = [(buffer, buffer.clone()) for buffer in gan.discriminator.buffers()]
    gan.discriminator.power_iterate()
    try:
        yield
    finally:
        for buffer, old in before:
            buffer.copy_(old)
