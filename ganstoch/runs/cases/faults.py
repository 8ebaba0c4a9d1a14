"""What is done to a game on purpose, so that the cause of what is seen is known.

A fault is a callback: it acts on the game at known iterations and on nothing else. None of them
looks at a signal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.models import Generator
from ganstoch.objectives import NonSaturating, Objective
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN

__all__ = [
    "Alternate",
    "Blind",
    "FewLatents",
    "Freeze",
    "InnerNoise",
    "Kill",
    "Poison",
    "Rates",
    "Scale",
    "Shake",
    "SwappedLabels",
    "Unfreeze",
]


class _At(Callback, ABC):
    """Acts once, before a given iteration, counted from 1."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Acts where it is time."""
        assert isinstance(pl_module, GAN)
        if trainer.global_step + 1 == self.at:
            self.strike(trainer, pl_module)

    @abstractmethod
    def strike(self, trainer: Trainer, game: GAN) -> None:
        """Acts on the game."""


class Rates(_At):
    """Multiplies the players' learning rates."""

    def __init__(self, *, at: int = 1, discriminator: float = 1.0, generator: float = 1.0) -> None:
        super().__init__(at)
        self.factors = (discriminator, generator)

    def strike(self, trainer: Trainer, game: GAN) -> None:
        """Acts on the game."""
        for optimizer, factor in zip(trainer.optimizers, self.factors, strict=True):
            for group in optimizer.param_groups:
                group["lr"] *= factor


class Freeze(Rates):
    """A player learns nothing from some iteration on: somebody forgot its step."""

    def __init__(self, player: str, *, at: int = 1) -> None:
        super().__init__(at=at, **{player: 0.0})


class Unfreeze(Callback):
    """A player learns nothing until some iteration, and from there on normally."""

    def __init__(self, player: str, *, at: int) -> None:
        self.place = ("discriminator", "generator").index(player)
        self.at = at

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Acts where it is time."""
        group = trainer.optimizers[self.place].param_groups[0]
        if trainer.global_step == 0:
            self.rate, group["lr"] = group["lr"], 0.0
        if trainer.global_step + 1 == self.at:
            group["lr"] = self.rate


class Scale(_At):
    """Multiplies a layer's weights, and from there on after every iteration, as a bug might."""

    def __init__(self, layer: str, factor: float, *, at: int, again: bool = False) -> None:
        super().__init__(at)
        self.layer, self.factor, self.again = layer, factor, again

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Acts where it is time."""
        assert isinstance(pl_module, GAN)
        now = trainer.global_step + 1
        if now == self.at or (self.again and now > self.at):
            self.strike(trainer, pl_module)

    @torch.no_grad()
    def strike(self, trainer: Trainer, game: GAN) -> None:
        """Acts on the game."""
        for parameter in game.get_submodule(self.layer).parameters():
            parameter.mul_(self.factor)


class Kill(Callback):
    """Sets a layer to nothing before and after every iteration, from some iteration on."""

    def __init__(self, layer: str, *, at: int) -> None:
        self.layer, self.at = layer, at

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Acts where it is time."""
        self._strike(trainer.global_step + 1, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Acts again, on what the iteration has put there."""
        self._strike(trainer.global_step, pl_module)

    @torch.no_grad()
    def _strike(self, now: int, game: LightningModule) -> None:
        if now >= self.at:
            for parameter in game.get_submodule(self.layer).parameters():
                parameter.zero_()


class Alternate(Callback):
    """Shows the discriminator negatives of the data in every second stretch of iterations."""

    def __init__(self, *, period: int) -> None:
        self.period = period

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Turns the batch, a copy of the data, into its negative where it is time."""
        if trainer.global_step // self.period % 2:
            batch.pixels.copy_(255 - batch.pixels)


class Shake(Callback):
    """Adds noise to a player's weights at every iteration, in proportion to each layer's own."""

    def __init__(self, player: str, share: float, *, at: int) -> None:
        self.player, self.share, self.at = player, share, at

    @torch.no_grad()
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Acts where it is time."""
        now = trainer.global_step + 1
        if now < self.at:
            return
        for name, weights in pl_module.get_submodule(self.player).named_parameters():
            rng = rng_for(0, "noise", now, part=f"shake/{name}")
            noise = normal(tuple(weights.shape), rng).to(weights.device)
            weights.add_(noise, alpha=self.share * float(weights.square().mean().sqrt()))


class Poison(_At):
    """Puts a NaN, or another number, into a layer's weights."""

    def __init__(self, layer: str, *, at: int, value: float = float("nan")) -> None:
        super().__init__(at)
        self.layer, self.value = layer, value

    @torch.no_grad()
    def strike(self, trainer: Trainer, game: GAN) -> None:
        """Acts on the game."""
        next(game.get_submodule(self.layer).parameters()).view(-1)[0] = self.value


class _Around(Generator):
    """A generator that gets its latents from another hand."""

    def __init__(self, inner: Generator, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change, self.latent_dim = inner, change, inner.latent_dim

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to images."""
        images: Tensor = self.inner(self.change(latents))
        return images


class _Wrapping(Callback, ABC):
    """Wraps the generator and its average before training begins."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wraps both."""
        assert isinstance(pl_module, GAN)
        inner = pl_module.generator
        pl_module.generator = _Around(inner, self.change)
        averaged = pl_module.average.generator
        assert isinstance(averaged, Generator)
        pl_module.average.generator = _Around(averaged, self.change)

    @abstractmethod
    def change(self, latents: Tensor) -> Tensor:
        """What the generator gets in place of its latents (N, latent_dim)."""


class Blind(_Wrapping):
    """The generator never gets to see z."""

    def change(self, latents: Tensor) -> Tensor:
        """What the generator gets in place of its latents (N, latent_dim)."""
        return torch.zeros_like(latents)


class InnerNoise(_Wrapping):
    """The generator hears its own noise in place of z: many images, and z decides none of them."""

    def __init__(self) -> None:
        self.calls = 0

    def change(self, latents: Tensor) -> Tensor:
        """What the generator gets in place of its latents (N, latent_dim)."""
        self.calls += 1
        rng = rng_for(0, "noise", self.calls, part="fault")
        noise = normal(tuple(latents.shape), rng).to(latents.device, latents.dtype)
        return noise + 1e-4 * latents


class FewLatents(_Wrapping):
    """However many latents there are, the generator gets to see only a few different ones."""

    def __init__(self, count: int) -> None:
        self.count = count

    def change(self, latents: Tensor) -> Tensor:
        """What the generator gets in place of its latents (N, latent_dim)."""
        rng = rng_for(0, "latent_bank", part="fault")
        few = normal((self.count, latents.shape[1]), rng)
        few = few.to(latents.device, latents.dtype)
        # By the nearest in angle, each latent becomes one of the few; the gradient passes through.
        chosen = few[(latents.detach() @ few.T).argmax(1)]
        return chosen + 1e-6 * latents


class SwappedLabels(Objective):
    """The discriminator is told that real images are generated ones, and the reverse."""

    def __init__(self) -> None:
        super().__init__()
        self.right = NonSaturating()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) each."""
        return self.right.discriminator(fake, real)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar loss from logits of shape (N,)."""
        return self.right.generator(fake)


def layers_of(game: GAN, player: str) -> list[str]:
    """Names of a player's layers with weights, in order."""
    network: nn.Module = getattr(game, player)
    return [
        f"{player}.{name}"
        for name, layer in network.named_modules()
        if next(layer.parameters(recurse=False), None) is not None
    ]
