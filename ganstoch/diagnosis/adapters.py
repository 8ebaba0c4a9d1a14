"""Adapters to a generator in training, of a `GAN` or of any other LightningModule.

What is measured runs as at inference: no layer in training mode, no gradient, no global RNG.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis.signals import Networks
from ganstoch.errors import UserError
from ganstoch.pixels import checked_set, range_of
from ganstoch.remedies.base import pack_examples
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN

_log = logging.getLogger("ganstoch")

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorAdapter:
    """Makes images of a generator in training."""

    # So many images, shape (N, *shape), the same at every call of the same generator.
    draw: Callable[[int], Tensor]
    networks: Callable[[int], Networks]  # what can be diagnosed, shown so many latents


def players_of(module: LightningModule) -> dict[str, nn.Module]:
    """The networks called ``generator`` and ``discriminator``, as far as the module has them."""
    networks = {name: getattr(module, name, None) for name in ("generator", "discriminator")}
    return {name: player for name, player in networks.items() if isinstance(player, nn.Module)}


def real_images(
    trainer: Trainer, real: Tensor | None, held_out: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Training and held-out images: those given, else our own data's; `UserError` if none are.

    Images that are given are `checked_set`; points (N, D) are taken as they are.
    """
    data = getattr(trainer, "datamodule", None)
    if real is not None and getattr(real, "ndim", 4) != 2:
        real = checked_set(real, what="real")
    if held_out is not None and getattr(held_out, "ndim", 4) != 2:
        held_out = checked_set(held_out, what="held_out")
    if real is None and isinstance(data, ImageData):
        return data.subset.pixels, data.held_out if held_out is None else held_out
    if real is None:
        raise UserError("give the callback the training images: real=tensor of shape (N, C, H, W)")
    return real, held_out


def warn_of_range(generated: Tensor, *, real: Tensor) -> None:
    """Says that a generator's floats seem to lie in another range than [-1, 1], as real ones do."""
    if not generated.is_floating_point() or not generated.numel():
        return
    low, high = (value.item() for value in torch.aminmax(generated.detach().float()))
    least = real.min().item() / 127.5 - 1 if real.dtype == torch.uint8 else real.min().item()
    found = range_of(low, high, floats=True)
    if found == "bytes" or (found == "unit" and least < -0.5):
        ends = "[0, 1]" if found == "unit" else "[0, 255]"
        _log.warning(
            "the generator's floats lie in %s, and are taken to be in [-1, 1] as the real images: "
            "give the callback sample=a function of n that maps them",
            ends,
        )


def adapter_for(
    module: LightningModule, sample: Callable[[int], Tensor] | None, latent_dim: int | None
) -> GeneratorAdapter:
    """How images are made: by a `GAN`, by a callable given, or by the module's own `sample(n)`."""
    if isinstance(module, GAN) and sample is None:
        return _of_gan(module)
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
        with _same_rng(module.device):
            return make(count)

    def networks(count: int) -> Networks:
        critic = players_of(module).get("discriminator")
        logits = None if critic is None else partial(_discriminate, critic, dtype=_dtype(module))
        if takes_z and sample is None:
            return Networks(sample=generator, latents=latents(count), discriminator=logits)  # type: ignore[arg-type]
        return Networks(sample=lambda _: draw(count), discriminator=logits)

    return GeneratorAdapter(draw=draw, networks=networks)


def _of_gan(gan: GAN) -> GeneratorAdapter:
    """Of the averaged generator; diagnosed are the raw one and both against each other."""

    def discriminate(images: Tensor) -> Tensor:
        pack = gan.remedies.spec.pack
        whole = images[: len(images) // pack * pack].to(_dtype(gan))
        logits: Tensor = gan.discriminator(pack_examples(whole, pack)).logits
        return logits

    def networks(count: int) -> Networks:
        assert gan.latents is not None
        return Networks(
            sample=gan.generator,
            latents=gan.latents.evaluation(count).to(gan.device, _dtype(gan)),
            average=gan.average,
            discriminator=discriminate,
        )

    def draw(count: int) -> Tensor:
        assert gan.latents is not None
        return gan.sample(gan.latents.evaluation(count))

    return GeneratorAdapter(draw=draw, networks=networks)


def _discriminate(critic: nn.Module, images: Tensor, *, dtype: torch.dtype) -> Tensor:
    """The logits, which a discriminator may return among other things."""
    output = critic(images.to(dtype))
    output = getattr(output, "logits", output)
    if isinstance(output, tuple):
        output = output[0]
    assert isinstance(output, Tensor)
    return output.flatten()


def _dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


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
def _same_rng(device: torch.device) -> Iterator[None]:
    """The same numbers at every call for code that draws from the global RNGs."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(_SEED)
        yield
