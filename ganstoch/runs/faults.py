"""Faults put into a training run on purpose, so that the cause of what is seen is known.

A fault is a callback that acts on the networks at known iterations and looks at no signal.
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
    "InnerNoise",
    "Kill",
    "Poison",
    "Rates",
    "Scale",
    "Shake",
    "SwappedLabels",
    "Unfreeze",
]


class _Fault(Callback, ABC):
    """Acts before iterations."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Tells the fault which iteration is next, counted from 1."""
        self._before(trainer.global_step + 1, trainer, batch)

    @abstractmethod
    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        """Acts, if this is an iteration to do so."""


class Rates(_Fault):
    """Multiplies the players' learning rates once, before iteration `at`."""

    def __init__(self, *, at: int = 1, discriminator: float = 1.0, generator: float = 1.0) -> None:
        self.at = at
        self.factors = (discriminator, generator)

    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        if iteration == self.at:
            for optimizer, factor in zip(trainer.optimizers, self.factors, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] *= factor


class Unfreeze(_Fault):
    """Keeps a player's learning rate at 0 until iteration `at`."""

    def __init__(self, player: str, *, at: int) -> None:
        self.index = ("discriminator", "generator").index(player)
        self.at = at

    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        group = trainer.optimizers[self.index].param_groups[0]
        if iteration == 1:
            self.rate, group["lr"] = group["lr"], 0.0
        if iteration == self.at:
            group["lr"] = self.rate


class Alternate(_Fault):
    """Shows the discriminator negatives of the data in every second period of iterations."""

    def __init__(self, *, period: int) -> None:
        self.period = period

    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        if (iteration - 1) // self.period % 2:
            batch.pixels.copy_(255 - batch.pixels)  # a copy of the data


class _WeightFault(_Fault):
    """Changes weights before iteration `at`, and before all later ones if `again`.

    ``layer`` is a network or layer by its name in the module, such as "generator.layers.0".
    """

    def __init__(self, layer: str, *, at: int, again: bool = False) -> None:
        self.layer, self.at, self.again = layer, at, again

    @torch.no_grad()
    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        if iteration == self.at or (self.again and iteration > self.at):
            layer = trainer.lightning_module.get_submodule(self.layer)
            self._change(dict(layer.named_parameters()), iteration)

    @abstractmethod
    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        """Changes parameters in place."""


class Scale(_WeightFault):
    """Multiplies a layer's weights."""

    def __init__(self, layer: str, factor: float, *, at: int, again: bool = False) -> None:
        super().__init__(layer, at=at, again=again)
        self.factor = factor

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        for weight in weights.values():
            weight.mul_(self.factor)


class Kill(_WeightFault):
    """Sets a layer to 0 before and after every iteration."""

    def __init__(self, layer: str, *, at: int) -> None:
        super().__init__(layer, at=at, again=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Acts again, on what the iteration's update has left."""
        self._before(trainer.global_step, trainer, batch)

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        for weight in weights.values():
            weight.zero_()


class Shake(_WeightFault):
    """Adds noise to a player's weights, in proportion to each layer's own size."""

    def __init__(self, player: str, share: float, *, at: int) -> None:
        super().__init__(player, at=at, again=True)
        self.share = share

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        for name, weight in weights.items():
            rng = rng_for(0, "noise", iteration, part=f"shake/{name}")
            noise = normal(tuple(weight.shape), rng).to(weight.device)
            weight.add_(noise, alpha=self.share * float(weight.square().mean().sqrt()))


class Poison(_WeightFault):
    """Puts a NaN, or another number, into a layer's first weight."""

    def __init__(self, layer: str, *, at: int, value: float = float("nan")) -> None:
        super().__init__(layer, at=at)
        self.value = value

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        next(iter(weights.values())).view(-1)[0] = self.value


class _ChangedLatents(Generator):
    """A generator whose latents are changed on their way in."""

    def __init__(self, inner: Generator, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change, self.latent_dim = inner, change, inner.latent_dim

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to images."""
        images: Tensor = self.inner(self.change(latents))
        return images


class _LatentFault(Callback, ABC):
    """Wraps the generator and its average before training begins."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wraps both."""
        assert isinstance(pl_module, GAN)
        averaged = pl_module.average.generator
        assert isinstance(averaged, Generator)
        pl_module.generator = _ChangedLatents(pl_module.generator, self._change)
        pl_module.average.generator = _ChangedLatents(averaged, self._change)

    @abstractmethod
    def _change(self, latents: Tensor) -> Tensor:
        """What the generator gets in place of its latents (N, latent_dim)."""


class Blind(_LatentFault):
    """The generator gets zeros in place of z."""

    def _change(self, latents: Tensor) -> Tensor:
        return torch.zeros_like(latents)


class InnerNoise(_LatentFault):
    """The generator gets its own noise in place of z: many images, and z decides none of them."""

    def __init__(self) -> None:
        self.calls = 0

    def _change(self, latents: Tensor) -> Tensor:
        self.calls += 1
        rng = rng_for(0, "noise", self.calls, part="fault")
        noise = normal(tuple(latents.shape), rng).to(latents.device, latents.dtype)
        return noise + 1e-4 * latents


class FewLatents(_LatentFault):
    """The generator gets only `count` different latents, the nearest in angle to those drawn."""

    def __init__(self, count: int) -> None:
        self.count = count

    def _change(self, latents: Tensor) -> Tensor:
        rng = rng_for(0, "latent_bank", part="fault")
        few = normal((self.count, latents.shape[1]), rng)
        few = few.to(latents.device, latents.dtype)
        chosen = few[(latents.detach() @ few.T).argmax(1)]
        return chosen + 1e-6 * latents  # so that the gradient passes through


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
