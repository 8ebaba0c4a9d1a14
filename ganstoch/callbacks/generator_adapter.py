"""Takes hold of a generator in training, of our game or of a stranger's module, without a trace.

What is run to be measured runs as at inference: no layer in training mode, no gradient left behind,
no number of the global generator of chance used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis import Subject
from ganstoch.errors import UserError
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN

__all__ = ["Sampler", "iteration_of", "players_of", "real_images", "sampler_of", "undisturbed"]

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Makes images of a generator in training.

    Attributes:
        draw: makes that many, shape (N, *shape), on the module's device; the same ones at every
            call as long as the generator is the same.
        subject: what can be diagnosed, given how many latents it is to be shown.
    """

    draw: Callable[[int], Tensor]
    subject: Callable[[int], Subject]


def iteration_of(trainer: Trainer) -> int:
    """The number of the iteration that is going on or has just ended, from 1.

    Batches are counted: Lightning's `global_step` counts every step of every optimiser, which in a
    module with two of them is twice as many.
    """
    return trainer.fit_loop.epoch_loop.total_batch_idx + 1


def players_of(module: LightningModule) -> dict[str, nn.Module]:
    """The networks called ``generator`` and ``discriminator``, as far as the module has them."""
    found = {name: getattr(module, name, None) for name in ("generator", "discriminator")}
    return {name: player for name, player in found.items() if isinstance(player, nn.Module)}


def real_images(
    trainer: Trainer, real: Tensor | None, held_out: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Training and held-out images: those given, else those of our own data.

    Raises:
        UserError: where there are none.
    """
    data = getattr(trainer, "datamodule", None)
    if real is None and isinstance(data, ImageData):
        held = data.held_out
        return data.subset.pixels, held if held_out is None else held_out
    if real is None:
        raise UserError("give the callback the training images: real=tensor of shape (N, C, H, W)")
    return real, held_out


def sampler_of(
    module: LightningModule, sample: Callable[[int], Tensor] | None, latent_dim: int | None
) -> Sampler:
    """How images are made: by our game, by a callable given, or by the module's own `sample(n)`.

    Args:
        module: what trains.
        sample: makes n images; None for the module's.
        latent_dim: length of z, if the module's ``generator`` takes z of shape (N, latent_dim);
            None for the attribute of that name of the generator or the module.

    Raises:
        UserError: where there is no way to make any.
    """
    if isinstance(module, GAN) and sample is None:
        return _of_game(module)
    generator = players_of(module).get("generator")
    make = sample or getattr(module, "sample", None)
    if latent_dim is None:
        latent_dim = getattr(generator, "latent_dim", getattr(module, "latent_dim", None))
    takes_z = generator is not None and isinstance(latent_dim, int)
    if make is None and not takes_z:
        raise UserError(
            f"{type(module).__name__} has no method sample(n), and no `generator` whose latent_dim "
            "is known; give the callback sample=a function of n, or latent_dim"
        )

    def latents(count: int) -> Tensor:
        assert latent_dim is not None
        rng = rng_for(_SEED, "evaluation", part="latents")
        return normal((count, latent_dim), rng).to(module.device, _dtype(module))

    def draw(count: int) -> Tensor:
        if make is None:
            assert generator is not None
            images: Tensor = generator(latents(count))
            return images
        with _own_chance(module.device):
            return make(count)

    def subject(count: int) -> Subject:
        critic = players_of(module).get("discriminator")
        judge = None if critic is None else partial(_judge, critic, dtype=_dtype(module))
        if takes_z and sample is None:
            return Subject(sample=generator, latents=latents(count), discriminator=judge)  # type: ignore[arg-type]
        return Subject(sample=lambda _: draw(count), discriminator=judge)

    return Sampler(draw=draw, subject=subject)


def _of_game(game: GAN) -> Sampler:
    """Of the averaged generator; diagnosed are the raw one and both against each other."""

    def judge(images: Tensor) -> Tensor:
        pack = game.remedies.pack
        whole = images[: len(images) // pack * pack].to(_dtype(game))
        logits: Tensor = game.discriminator(game.remedies.critic_input(whole)).logits
        return logits

    def subject(count: int) -> Subject:
        assert game.latents is not None
        return Subject(
            sample=game.generator,
            latents=game.latents.evaluation(count).to(game.device, _dtype(game)),
            average=game.average,
            discriminator=judge,
        )

    def draw(count: int) -> Tensor:
        assert game.latents is not None
        return game.sample(game.latents.evaluation(count))

    return Sampler(draw=draw, subject=subject)


def _judge(critic: nn.Module, images: Tensor, *, dtype: torch.dtype) -> Tensor:
    return _logits(critic(images.to(dtype)))


def _dtype(module: nn.Module) -> torch.dtype:
    """The precision of a module's weights."""
    return next(module.parameters()).dtype


def _logits(said: object) -> Tensor:
    """The logits, of a stranger's discriminator too, which may return them among other things."""
    said = getattr(said, "logits", said)
    if isinstance(said, tuple):
        said = said[0]
    assert isinstance(said, Tensor)
    return said.flatten()


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """All layers as at inference, afterwards each as it was; no gradient is recorded by default."""
    trained = [layer for layer in module.modules() if layer.training]
    for layer in trained:
        layer.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in trained:
            layer.training = True


@contextmanager
def _own_chance(device: torch.device) -> Iterator[None]:
    """The same chance at every call for code that draws from the global generators."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_SEED)
        yield
