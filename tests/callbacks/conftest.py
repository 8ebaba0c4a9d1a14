"""A world of points whose modes are known, small enough to be played in a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from ganstoch.data import Ring
from ganstoch.data.datamodule import ImageData
from ganstoch.latents import LatentSettings
from ganstoch.models import TanhDiscriminator, TanhGenerator
from ganstoch.remedies import Remedy
from ganstoch.training.gan import GAN, AdamSettings


@pytest.fixture
def make_point_game() -> Callable[..., GAN]:
    """Two networks of one hidden layer, and fresh latents."""

    def make(*remedies: Remedy, seed: int = 0, bank: int | str = "fresh") -> GAN:
        return GAN(
            partial(TanhGenerator, latent_dim=4, width=8, depth=1),
            partial(TanhDiscriminator, width=8, depth=1),
            remedies=remedies,
            latents=LatentSettings(bank=bank),
            optimizer=AdamSettings(lr=1e-2),
            ema_decay=0.0,
            seed=seed,
            shape=(2,),
        )

    return make


@pytest.fixture
def make_ring() -> Callable[..., ImageData]:
    """600 points of the ring."""
    return partial(ImageData, Ring(), n=600, m=16)
