"""Signal and noise of both players' gradients in a game: over all of X and Z, at the run's m.

[1] Yazici et al. 2020, Sec. 3: sampling error and the difference between the distributions.

The mathematics is in `ganstoch.metrics.gradient_noise`. A measurement is of the game as it
stands between two iterations, with the spectral norms refined by the step that opens the next
update: so the discriminator's is the very gradient it will follow, and the generator's is against
the discriminator as it stands before that update. It is taken in the precision of the weights,
also where training computes in a lower one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ganstoch.data.datamodule import ImageData
from ganstoch.data.sampling import Sampling
from ganstoch.metrics.gradient_noise import (
    GradientNoise,
    GradientSums,
    Side,
    combine,
    endless,
    finite,
    jittered,
    share_of_pieces,
)
from ganstoch.models.base import couples, frozen
from ganstoch.objectives import Pointwise
from ganstoch.remedies.base import Remedy
from ganstoch.rng import normal, rng_for
from ganstoch.training.example_gradients import collect
from ganstoch.training.gan import GAN
from ganstoch.types import to_signed

__all__ = ["measure_players", "obstacle"]

EXAMPLES = 64
"""Examples in a pass; of a layer's gradients there are fewer at a time, see `collect`."""

CHANGES_GRADIENTS = (
    "wrap_generator",
    "wrap_discriminator",
    "plays",
    "play",
    "critic_fakes",
    "critic_input",
    "targets",
    "discriminator_loss",
    "before_discriminator_step",
    "opponent",
    "generator_loss",
)
"""Hooks whose gradients are not sums over single examples of the objective alone."""


def obstacle(game: GAN) -> str | None:
    """Who makes a gradient more than a sum over single examples, if anybody does.

    Batch normalisation, packs, minibatch discrimination and the relativistic average make an
    example's gradient depend on its company; penalties and other remedies add terms of their own.
    Remedies that change step sizes, weights after a step, or how many steps there are, may stay.
    """
    for network in (game.generator, game.discriminator):
        if couples(network):
            return type(network).__name__
    for remedy in game.remedies.each():
        own = any(getattr(type(remedy), h) is not getattr(Remedy, h) for h in CHANGES_GRADIENTS)
        if own or remedy.couples or remedy.needs_real or remedy.pack * remedy.images_factor > 1:
            return type(remedy).__name__
    return None if isinstance(game.objective, Pointwise) else type(game.objective).__name__


def measure_players(
    game: GAN, data: ImageData, *, iteration: int, draws: int, quiet: bool = True
) -> dict[str, GradientNoise]:
    """Both players' signal and noise, under ``discriminator`` and ``generator``.

    Exact where the bank is fixed and has no noise upon it. Otherwise an estimate, from ``draws``
    noises on every latent of the bank, or from ``draws`` n fresh latents; the same ones every time.

    Args:
        game: dealt, without an `obstacle`. Nothing of it changes.
        data: set up.
        iteration: the coming iteration, whose batch is meant where batches differ.
        draws: see above; 2 or more.
        quiet: whether to leave a terminal alone.
    """
    assert obstacle(game) is None
    assert isinstance(game.objective, Pointwise)
    assert game.latents is not None
    objective, discriminator, generator = game.objective, game.discriminator, game.generator
    example = next(generator.parameters())
    latents, m = _latents(game, draws=draws).to(example.dtype), data.batch_size
    noisy = game.latents.noise > 0 and game.latents.count is not None
    total = len(data.subset.ids) + 2 * len(latents)
    with (
        _refined(game),
        torch.no_grad(),
        tqdm(
            total=total,
            desc="gradients",
            unit="",
            leave=False,
            delay=3,
            disable=True if quiet else None,
        ) as bar,
    ):

        def sums(
            network: nn.Module,
            examples: Tensor,
            made: Callable[[Tensor], Tensor],
            losses: Callable[[Any], Tensor],
            group: int = 1,
        ) -> GradientSums:
            found, step = GradientSums(draws=group), -(-EXAMPLES // group) * group
            for i in range(0, len(examples), step):
                block = examples[i : i + step].to(example.device)
                collect(network, made(block), losses, found, group=group)
                bar.update(len(block))
            return found

        def generated(sums: GradientSums) -> Side:
            assert game.latents is not None
            count = game.latents.count
            if count is None:
                return endless(sums, size=m)
            share = share_of_pieces([m], count=count)
            return jittered(sums, size=m, share=share) if noisy else finite(sums, share=share)

        def signed(pixels: Tensor) -> Tensor:
            if pixels.dtype == torch.uint8:
                return to_signed(pixels, dtype=example.dtype)
            return pixels.to(example.dtype)

        group = draws if noisy else 1
        real = sums(
            discriminator,
            data.subset.pixels,
            signed,
            lambda critique: objective.real_loss(critique.logits),
        )
        fake = sums(
            discriminator,
            latents,
            generator.forward,
            lambda critique: objective.fake_loss(critique.logits),
            group,
        )
        with frozen(discriminator):
            of_g = sums(
                generator,
                latents,
                lambda z: z,
                lambda images: objective.generator_loss(discriminator.forward(images).logits),
                group,
            )
    share = _share_of_images(data.sampling, n=real.count, m=m, iteration=iteration)
    return {
        "discriminator": combine([finite(real, share=share), generated(fake)]),
        "generator": combine([generated(of_g)]),
    }


def _share_of_images(rule: Sampling, *, n: int, m: int, iteration: int) -> float:
    """Noise of a batch of m images over that of one, by how they are drawn."""
    if rule == "exactly_once":
        return 0.0
    if rule == "with_replacement":
        return 1.0 / m
    left = n - iteration * m % n  # of the epoch that the batch begins in
    return share_of_pieces([m] if m <= left else [left, m - left], count=n)


def _latents(game: GAN, *, draws: int) -> Tensor:
    """The latents to go through: each of the bank, or each under several noises, or fresh ones."""
    latents = game.latents
    assert latents is not None
    rng = rng_for(game.seed, "evaluation", part="gradient noise")
    if latents.fixed is None:
        z = normal((draws * game.n, latents.dim), rng)
        if latents.noise:
            z = z.add(normal(tuple(z.shape), rng), alpha=math.sqrt(latents.noise))
        return z
    if not latents.noise:
        return latents.fixed
    z = latents.fixed.repeat_interleave(draws, dim=0)
    return z.add(normal(tuple(z.shape), rng), alpha=math.sqrt(latents.noise))


@contextmanager
def _refined(game: GAN) -> Iterator[None]:
    """The discriminator as the next update will have it, and afterwards as it was."""
    buffers = list(game.discriminator.buffers())
    before = [buffer.clone() for buffer in buffers]
    game.discriminator.power_iterate()
    try:
        yield
    finally:
        for buffer, old in zip(buffers, before, strict=True):
            buffer.copy_(old)
