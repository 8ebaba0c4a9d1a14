"""Faults put into a training run on purpose: callbacks that act at known iterations, blindly."""

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.data.datamodule import ImageData
from ganstoch.objectives import NonSaturating, Objective, Saturating
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN


@dataclass(eq=False, kw_only=True)
class _Fault(Callback):
    """Acts before iteration ``at``, counted from 1, and before all later ones if ``again``."""

    at: int = 1
    again: bool = False

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        iteration = trainer.global_step + 1
        if iteration == self.at or (self.again and iteration > self.at):
            self._act(trainer, iteration)

    @abstractmethod
    def _act(self, trainer: Trainer, iteration: int) -> None:
        """Puts the fault into the run."""


@dataclass(eq=False, kw_only=True)
class Rates(_Fault):
    """Multiplies the players' learning rates."""

    discriminator: float = 1.0
    generator: float = 1.0

    def _act(self, trainer: Trainer, iteration: int) -> None:
        factors = (self.discriminator, self.generator)
        for optimizer, factor in zip(trainer.optimizers, factors, strict=True):
            optimizer.param_groups[0]["lr"] *= factor


@dataclass(eq=False, kw_only=True)
class Unfreeze(_Fault):
    """Keeps a player's learning rate at 0 until iteration ``at``."""

    player: str

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Holds the player."""
        index = ("discriminator", "generator").index(self.player)
        self._settings = trainer.optimizers[index].param_groups[0]
        self._rate, self._settings["lr"] = self._settings["lr"], 0.0

    def _act(self, trainer: Trainer, iteration: int) -> None:
        self._settings["lr"] = self._rate


@dataclass(eq=False)
class Alternate(Callback):
    """Shows the discriminator negatives of the data in every second period of iterations."""

    period: int

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Turns the batch over, in place."""
        if trainer.global_step // self.period % 2:
            batch.pixels.copy_(255 - batch.pixels)  # a copy of the data


class RepeatBatch(Callback):
    """A loader that hands out its first batch for ever."""

    _first: Tensor | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Puts the first batch in the place of this one."""
        self._first = batch.pixels.clone() if self._first is None else self._first
        batch.pixels.copy_(self._first)


class ShuffleLabels(Callback):
    """Deals the classes of a batch out among its images by chance."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Shuffles the labels, in place."""
        rng = rng_for(0, "noise", trainer.global_step, part="shuffle")
        order = torch.randperm(len(batch.labels), generator=rng)
        batch.labels.copy_(batch.labels[order.to(batch.labels.device)])


@dataclass(eq=False, kw_only=True)
class Range(Callback):
    """All real images, also those that a run is compared with, are floats from low to high."""

    low: float
    high: float

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Rescales the data, which are ready by now."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        data.subset = dataclasses.replace(data.subset, pixels=self._scaled(data.subset.pixels))
        data.held_out = None if data.held_out is None else self._scaled(data.held_out)

    def _scaled(self, pixels: Tensor) -> Tensor:
        return self.low + pixels.float() * ((self.high - self.low) / 255)


class GeneratorInEval(_Fault):
    """The generator leaves training mode, as after samples were drawn, and is not put back."""

    def _act(self, trainer: Trainer, iteration: int) -> None:
        trainer.lightning_module.get_submodule("generator").eval()


class ForgetMoments(_Fault):
    """Both optimizers start anew, as where a checkpoint kept the weights alone."""

    def _act(self, trainer: Trainer, iteration: int) -> None:
        for optimizer in trainer.optimizers:
            optimizer.state.clear()


class FrozenAverage(_Fault):
    """The average of the generator is never updated again."""

    def _act(self, trainer: Trainer, iteration: int) -> None:
        gan = trainer.lightning_module
        assert isinstance(gan, GAN)
        gan.average.update = lambda generator, *, iteration: None  # type: ignore[method-assign]


@dataclass(eq=False, kw_only=True)
class HalfGradients(_Fault):
    """A player's gradients pass through 16 bits after multiplication by a scale, unchecked."""

    player: str
    scale: float

    def _act(self, trainer: Trainer, iteration: int) -> None:
        for weight in trainer.lightning_module.get_submodule(self.player).parameters():
            weight.register_hook(self._rounded)  # type: ignore[no-untyped-call]

    def _rounded(self, gradient: Tensor) -> Tensor:
        return (gradient * self.scale).half().to(gradient.dtype) / self.scale


@dataclass(eq=False, kw_only=True)
class _WeightFault(_Fault):
    """Changes the weights of a network or layer, by its name such as "generator.layers.0"."""

    layer: str

    @torch.no_grad()
    def _act(self, trainer: Trainer, iteration: int) -> None:
        layer = trainer.lightning_module.get_submodule(self.layer)
        for name, weight in layer.named_parameters():
            self._change(weight, name, iteration)

    @abstractmethod
    def _change(self, weight: nn.Parameter, name: str, iteration: int) -> None:
        """Changes a parameter in place."""


@dataclass(eq=False, kw_only=True)
class Scale(_WeightFault):
    """Multiplies weights."""

    factor: float

    def _change(self, weight: nn.Parameter, name: str, iteration: int) -> None:
        weight.mul_(self.factor)


@dataclass(eq=False, kw_only=True)
class Kill(_WeightFault):
    """Sets weights to 0, also after an iteration's update."""

    again: bool = True

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Acts once more."""
        if trainer.global_step >= self.at:
            self._act(trainer, trainer.global_step)

    def _change(self, weight: nn.Parameter, name: str, iteration: int) -> None:
        weight.zero_()


@dataclass(eq=False, kw_only=True)
class Shake(_WeightFault):
    """Adds noise to weights, in proportion to each layer's own size."""

    share: float
    again: bool = True

    def _change(self, weight: nn.Parameter, name: str, iteration: int) -> None:
        rng = rng_for(0, "noise", iteration, part=f"shake/{name}")
        noise = normal(tuple(weight.shape), rng).to(weight.device)
        weight.add_(noise, alpha=self.share * float(weight.square().mean().sqrt()))


class Redraw(_WeightFault):
    """Draws weights anew, as where a checkpoint lacked a network."""

    def _change(self, weight: nn.Parameter, name: str, iteration: int) -> None:
        rng = rng_for(0, "noise", iteration, part=f"redraw/{name}")
        weight.copy_(0.02 * normal(tuple(weight.shape), rng))


@dataclass(eq=False, kw_only=True)
class Poison(_Fault):
    """Puts a NaN, or another number, into a layer's first weight."""

    layer: str
    value: float = float("nan")

    @torch.no_grad()
    def _act(self, trainer: Trainer, iteration: int) -> None:
        layer = trainer.lightning_module.get_submodule(self.layer)
        next(layer.parameters()).view(-1)[0] = self.value


class _LatentFault(Callback):
    """Changes the latents on their way into the generator and its average."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        assert isinstance(pl_module, GAN)
        for generator in (pl_module.generator, pl_module.average.generator):
            generator.register_forward_pre_hook(lambda _, inputs: self._change(*inputs))

    @abstractmethod
    def _change(self, latents: Tensor) -> Tensor:
        """What the generator gets in place of its latents (N, latent_dim)."""


class Blind(_LatentFault):
    """The generator gets zeros in place of z."""

    def _change(self, latents: Tensor) -> Tensor:
        return torch.zeros_like(latents)


class InnerNoise(_LatentFault):
    """The generator gets its own noise in place of z: many images, and z decides none of them."""

    calls = 0

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
        few = normal((self.count, latents.shape[1]), rng).to(latents.device, latents.dtype)
        chosen = few[(latents.detach() @ few.T).argmax(1)]
        return chosen + 1e-6 * latents  # so that the gradient passes through


class SwappedLabels(NonSaturating):
    """The discriminator is told that real images are generated ones, and the reverse."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) each."""
        return super().discriminator(fake, real)


class SigmoidTwice(NonSaturating):
    """Logits pass through the logistic function before a loss that applies it once more."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) each."""
        return super().discriminator(real.sigmoid(), fake.sigmoid())

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar loss from logits of shape (N,)."""
        return super().generator(fake.sigmoid(), real)


class DetachedFakes(NonSaturating):
    """The generator's loss is of images cut off from it: its gradient is 0."""

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar loss from logits of shape (N,)."""
        return super().generator(fake.detach() + 0 * fake, real)


@dataclass(frozen=True)
class SharedOptimizer(Objective):
    """One optimizer steps both networks on the sum of both losses, so that G's moves D too."""

    saturating: bool = False

    @property
    def _game(self) -> Objective:
        return Saturating() if self.saturating else NonSaturating()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) each."""
        return self._game.discriminator(real, fake) + self._game.generator(fake)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar loss from logits of shape (N,)."""
        return self._game.generator(fake)
