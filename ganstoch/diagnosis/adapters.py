"""Adapters to a generator in training, of a `GAN` or of any other LightningModule.

What is measured runs as at inference: no layer in training mode, no gradient, no global RNG.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis.signals import Networks
from ganstoch.diagnosis.spaces import first_tensor
from ganstoch.diagnosis.undisturbed import same_rng, undisturbed
from ganstoch.errors import UserError
from ganstoch.pixels import checked_set
from ganstoch.remedies.base import pack_examples
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN

_SEED = 0
_TRIED = 8  # images that are made to see whether it works


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


def adapter_for(
    module: LightningModule, sample: Callable[[int], Any] | None, latent_dim: int | None
) -> GeneratorAdapter:
    """How images are made: by a `GAN`, by a callable given, or by a module's own ``sample(n)``.

    Else by its ``generator`` of normal latents; also where ``latent_dim`` is given, or where both
    make the same images, as that has a gradient. `UserError` where none makes any, which is tried.
    """
    if isinstance(module, GAN) and sample is None:
        return _of_gan(module)
    make, problem = sample or getattr(module, "sample", None), "it has no method sample(n)"
    latents = None if sample is not None else _latents_of(module, latent_dim)
    try:
        made = None if make is None else _tried(module, partial(make, _TRIED))
    except Exception as error:
        problem = f"sample(n) raises {type(error).__name__}: {error}"
        make = made = None
    if latents is not None and made is not None and latent_dim is None:
        noise = [partial(_of_noise, module, latents(1).shape[1:], d) for d in ("cpu", "own")]
        same = (_tried(module, images) for images in noise)
        if not any(made.shape == m.shape and torch.allclose(made, m, atol=1e-5) for m in same):
            latents = None
    if make is None and latents is None:
        raise UserError(
            f"{type(module).__name__}: {problem}, and no `generator` that makes images of latents "
            "alone; give the callback sample=a function of n, or latent_dim"
        )

    def draw(count: int) -> Tensor:
        if make is not None:
            with same_rng():
                return first_tensor(make(count))
        assert latents is not None
        return first_tensor(players_of(module)["generator"](latents(count)))

    def networks(count: int) -> Networks:
        critic = players_of(module).get("discriminator")
        judge = None if critic is None else lambda x: critic(x.to(_dtype(module)))
        if latents is not None:
            generator = players_of(module)["generator"]
            return Networks(sample=generator, latents=latents(count), discriminator=judge)
        return Networks(sample=lambda _: draw(count), discriminator=judge)

    return GeneratorAdapter(draw=draw, networks=networks)


def _latents_of(module: LightningModule, latent_dim: int | None) -> Callable[[int], Tensor] | None:
    """What makes latents that a module's generator takes alone, (n, z) or (n, z, 1, 1)."""
    generator = players_of(module).get("generator")
    if latent_dim is None:
        latent_dim = getattr(generator, "latent_dim", getattr(module, "latent_dim", None))
    if generator is None or not isinstance(latent_dim, int):
        return None

    def latents(count: int, *, axes: int) -> Tensor:
        z = normal((count, latent_dim), rng_for(_SEED, "evaluation", part="latents"))
        return z.to(module.device, _dtype(module))[(..., *[None] * axes)]

    for axes in (0, 2):
        made = partial(latents, axes=axes)
        with suppress(Exception):
            _tried(module, partial(generator, made(_TRIED)))
            return made
    return None


def _tried(module: LightningModule, make: Callable[[], Any]) -> Tensor:
    """What makes images as it would later; raises what that raises."""
    with undisturbed(module), same_rng():
        made = first_tensor(make())
    if len(made) != _TRIED:
        raise ValueError(f"asked for {_TRIED} images, got {len(made)}")
    return made


def _of_noise(module: LightningModule, shape: tuple[int, ...], device: str) -> Any:
    """What the generator makes of noise that is drawn on the CPU, or on its own device."""
    z = torch.randn(_TRIED, *shape, device=module.device if device == "own" else device)
    return players_of(module)["generator"](z.to(module.device, _dtype(module)))


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


def _dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype
