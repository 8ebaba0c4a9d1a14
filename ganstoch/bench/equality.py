"""Our training step against the plain loop: the same weights, the same draws, the same results."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganstoch.bench.reference import Reference
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.layers import LatentConv, SpectralConv2d
from ganstoch.rng import normal, rng_for, with_replacement
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, MicroBatch, to_signed

__all__ = [
    "MICRO_BATCHES",
    "TOLERANCE",
    "differences",
    "draw",
    "equality",
    "make_game",
    "make_reference",
    "parts_of",
]

MICRO_BATCHES: dict[str, int | None] = {"whole batches": None, "micro-batches of 3": 3}
"""Most images at once, of a batch of 8."""

TOLERANCE = 1e-9


def make_game(*, latent_dim: int, width: int, micro_batch: int | None = None) -> GAN:
    """The paper's networks in our game."""
    return GAN(
        partial(PaperGenerator, latent_dim=latent_dim, width=width),
        partial(PaperDiscriminator, width=width),
        ema_decay=0.5,  # the ramp up to it ends at iteration 10
        micro_batch=micro_batch,
    )


def make_reference(game: GAN) -> Reference:
    """The plain loop with a game's settings, weights and spectral norms."""
    with torch.random.fork_rng(devices=[]):  # its layers draw from the global stream
        plain = Reference(
            latent_dim=game.generator.latent_dim,
            width=len(_first(game.generator).bias),
            lr=game.settings.lr,
            decay=game.average.decay,
        )
    dtype = next(game.parameters()).dtype
    for network in (plain.g, plain.d, plain.average):
        network.to(dtype)
    with torch.no_grad():
        for network, ours in ((plain.g, game.generator), (plain.average, game.average)):
            for kept, given in zip(network.parameters(), _generator(ours), strict=True):
                kept.copy_(given)
        norms = [m for m in plain.d.modules() if isinstance(m, parametrize.ParametrizationList)]
        convolutions = [m for m in plain.d if isinstance(m, nn.Conv2d)]
        for norm, stock, layer in zip(norms, convolutions, _layers(game), strict=True):
            norm.original.copy_(layer.weight)
            cast(Tensor, norm[0].u).copy_(layer.u)
            cast(Tensor, norm[0].v).copy_(layer.v)
            cast(Tensor, stock.bias).copy_(cast(Tensor, layer.bias))
    return plain


def draw(m: int, latent_dim: int, *, iteration: int) -> tuple[Batch, Tensor]:
    """Random images and latents of one iteration."""
    rng = rng_for(0, "data", iteration)
    pixels = with_replacement(256, m * 3072, rng).to(torch.uint8).view(m, 3, 32, 32)
    batch = Batch(pixels=pixels, ids=torch.arange(m), size=m)
    return batch, normal((m, latent_dim), rng_for(0, "latent", iteration))


def parts_of(batch: Batch, z: Tensor, *, game: GAN) -> list[MicroBatch]:
    """A batch as the game takes it."""
    assert game.micro_batch != "auto"
    dtype = next(game.parameters()).dtype
    return split(batch, z, micro_batch=game.micro_batch, dtype=dtype)


def differences(game: GAN, *, m: int, iterations: int) -> dict[str, float]:
    """How far a game is from the plain loop after playing for some iterations.

    Args:
        game: one that has not begun; changed. In float64 only a defect makes a difference.
        m: batch size.
        iterations: how many are played.

    Returns:
        Largest absolute differences: ``weights`` (the spectral norms' vectors included),
        ``losses`` of any iteration, ``images`` of the live and the averaged generator.
    """
    plain = make_reference(game)
    optimizers = game.configure_optimizers()
    latent_dim, dtype = game.generator.latent_dim, next(game.parameters()).dtype
    losses = 0.0
    for iteration in range(iterations):
        batch, z = draw(m, latent_dim, iteration=iteration)
        game.train_iteration([parts_of(batch, z, game=game)], *optimizers, iteration=iteration)
        real, z = to_signed(batch.pixels, dtype=dtype), z.to(dtype)
        theirs = plain.play(real, z, iteration=iteration)
        for ours, other in zip(game.losses.values(), theirs, strict=True):
            losses = max(losses, (ours - other).abs().item())
    twin = make_reference(game)  # what ours has come to
    weights = max(
        (one - other).abs().max().item()
        for ours, theirs in ((twin.g, plain.g), (twin.d, plain.d), (twin.average, plain.average))
        for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    with torch.no_grad():
        pairs = ((game.average(z), plain.average(z)), (game.generator(z), plain.g(z)))
    images = max((a - b).abs().max().item() for a, b in pairs)
    return {"weights": weights, "losses": losses, "images": images}


def equality() -> dict[str, float]:
    """For each of `MICRO_BATCHES` the largest difference to the plain loop after 20 iterations."""
    return {
        name: max(
            differences(
                make_game(latent_dim=16, width=128, micro_batch=micro_batch).double(),
                m=8,
                iterations=20,
            ).values()
        )
        for name, micro_batch in MICRO_BATCHES.items()
    }


def _first(network: nn.Module) -> LatentConv:
    return next(m for m in network.modules() if isinstance(m, LatentConv))


def _generator(network: nn.Module) -> list[Tensor]:
    """Parameters as the stock layers have them."""
    return [_first(network).kernel, *list(network.parameters())[1:]]


def _layers(game: GAN) -> list[SpectralConv2d]:
    return [m for m in game.discriminator.modules() if isinstance(m, SpectralConv2d)]
