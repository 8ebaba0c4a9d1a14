"""Faults put into a training run on purpose: callbacks that act at known iterations, blindly."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.models import Generator
from ganstoch.objectives import NonSaturating
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN


class _Fault(Callback):
    """Acts before iterations, which count from 1."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._before(trainer.global_step + 1, trainer, batch)

    @abstractmethod
    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        """Acts, if this is an iteration to do so."""


@dataclass(eq=False)
class Rates(_Fault):
    """Multiplies the players' learning rates once, before iteration ``at``."""

    at: int = 1
    discriminator: float = 1.0
    generator: float = 1.0

    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        if iteration == self.at:
            factors = (self.discriminator, self.generator)
            for optimizer, factor in zip(trainer.optimizers, factors, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] *= factor


@dataclass(eq=False)
class Unfreeze(_Fault):
    """Keeps a player's learning rate at 0 until iteration ``at``."""

    player: str
    at: int

    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        index = ("discriminator", "generator").index(self.player)
        group = trainer.optimizers[index].param_groups[0]
        if iteration == 1:
            self.rate, group["lr"] = group["lr"], 0.0
        if iteration == self.at:
            group["lr"] = self.rate


@dataclass(eq=False)
class Alternate(_Fault):
    """Shows the discriminator negatives of the data in every second period of iterations."""

    period: int

    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        if (iteration - 1) // self.period % 2:
            batch.pixels.copy_(255 - batch.pixels)  # a copy of the data


@dataclass(eq=False)
class _WeightFault(_Fault):
    """Changes weights before iteration ``at``, and before all later ones if ``again``.

    ``layer`` is a network or layer by its name in the module, such as "generator.layers.0".
    """

    layer: str
    _: KW_ONLY
    at: int
    again: bool = False

    @torch.no_grad()
    def _before(self, iteration: int, trainer: Trainer, batch: Any) -> None:
        if iteration == self.at or (self.again and iteration > self.at):
            layer = trainer.lightning_module.get_submodule(self.layer)
            self._change(dict(layer.named_parameters()), iteration)

    @abstractmethod
    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        """Changes parameters in place."""


@dataclass(eq=False)
class Scale(_WeightFault):
    """Multiplies a layer's weights."""

    factor: float

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        for weight in weights.values():
            weight.mul_(self.factor)


class Kill(_WeightFault):
    """Sets a layer to 0, also after an iteration's update."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Acts once more."""
        self._before(trainer.global_step, trainer, batch)

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        for weight in weights.values():
            weight.zero_()


@dataclass(eq=False)
class Shake(_WeightFault):
    """Adds noise to weights, in proportion to each layer's own size."""

    share: float

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        for name, weight in weights.items():
            rng = rng_for(0, "noise", iteration, part=f"shake/{name}")
            noise = normal(tuple(weight.shape), rng).to(weight.device)
            weight.add_(noise, alpha=self.share * float(weight.square().mean().sqrt()))


@dataclass(eq=False)
class Poison(_WeightFault):
    """Puts a NaN, or another number, into a layer's first weight."""

    value: float = float("nan")

    def _change(self, weights: dict[str, nn.Parameter], iteration: int) -> None:
        next(iter(weights.values())).view(-1)[0] = self.value


class _ChangedLatents(Generator):
    """A generator whose latents are changed on their way in."""

    def __init__(self, inner: Generator, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change, self.latent_dim = inner, change, inner.latent_dim

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.inner(self.change(latents))
        return images


class _LatentFault(Callback):
    """Wraps the generator and its average before training begins."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
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


@dataclass(eq=False)
class InnerNoise(_LatentFault):
    """The generator gets its own noise in place of z: many images, and z decides none of them."""

    calls: int = 0

    def _change(self, latents: Tensor) -> Tensor:
        self.calls += 1
        rng = rng_for(0, "noise", self.calls, part="fault")
        noise = normal(tuple(latents.shape), rng).to(latents.device, latents.dtype)
        return noise + 1e-4 * latents


@dataclass(eq=False)
class FewLatents(_LatentFault):
    """The generator gets only ``count`` different latents, the nearest in angle to those drawn."""

    count: int

    def _change(self, latents: Tensor) -> Tensor:
        rng = rng_for(0, "latent_bank", part="fault")
        few = normal((self.count, latents.shape[1]), rng)
        few = few.to(latents.device, latents.dtype)
        chosen = few[(latents.detach() @ few.T).argmax(1)]
        return chosen + 1e-6 * latents  # so that the gradient passes through


class SwappedLabels(NonSaturating):
    """The discriminator is told that real images are generated ones, and the reverse."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) each."""
        return super().discriminator(fake, real)
