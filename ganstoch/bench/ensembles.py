"""What ten seeds of a small game cost as one, in units of one seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ganstoch.bench.race import in_turns
from ganstoch.latents import LatentSettings
from ganstoch.models import (
    MaxoutDiscriminator,
    ReLUGenerator,
    TanhDiscriminator,
    TanhGenerator,
)
from ganstoch.rng import normal, rng_for
from ganstoch.training.ensemble import Ensemble
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch

__all__ = ["price_of_many", "ring_game", "tiny_game"]

SEEDS = 10


def ring_game(seed: int) -> GAN:
    """PacGAN's networks for the ring."""
    return GAN(
        ReLUGenerator,
        MaxoutDiscriminator,
        latents=LatentSettings(bank="fresh"),
        ema_decay=0.0,
        seed=seed,
        shape=(2,),
    )


def tiny_game(seed: int) -> GAN:
    """The networks of the two modes on a line."""
    return GAN(
        partial(TanhGenerator, latent_dim=16, width=32),
        partial(TanhDiscriminator, width=32),
        latents=LatentSettings(bank="fresh"),
        ema_decay=0.0,
        seed=seed,
        shape=(1,),
    )


def price_of_many(make: Callable[[int], GAN], *, m: int, rounds: int) -> tuple[float, str]:
    """Time of an iteration of ten seeds as one, over that of one seed by itself.

    Args:
        make: a game of a seed.
        m: batch size.
        rounds: how often each is timed.

    Returns:
        The ratio, and what was measured, in words.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    games, alone = [make(seed).to(device) for seed in range(SEEDS)], make(0).to(device)
    draws = [_draw(game, m=m, device=device) for game in games]
    ensemble = Ensemble(games).to(device)
    ensemble.to_members()
    stacked, steps = ensemble.stacked(draws), ensemble.configure_optimizers()
    parts = split(*draws[0], micro_batch=None, dtype=torch.float32)
    own = alone.configure_optimizers()
    times = in_turns(
        {
            "alone": lambda: alone.play([parts], *own, iteration=9),
            "together": lambda: ensemble.play(stacked, *steps, iteration=9),
        },
        rounds=rounds,
    )
    one, all_ = (1e3 * times[name] for name in ("alone", "together"))
    return all_ / one, f"{SEEDS} seeds {all_:.1f} ms an iteration, one {one:.1f} ms, m = {m}"


def _draw(game: GAN, *, m: int, device: torch.device) -> tuple[Batch, Tensor]:
    points = normal((m, *game.shape), rng_for(game.seed, "data"))
    latents = rng_for(game.seed, "latent")
    z = normal((m, game.generator.latent_dim), latents)
    return Batch(points.to(device), torch.arange(m, device=device), m), z.to(device)
