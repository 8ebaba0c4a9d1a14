"""A world of points whose modes are known, small enough to be played in a test."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LambdaCallback, ModelCheckpoint

from ganstoch.data import Ring
from ganstoch.data.datamodule import ImageData
from ganstoch.latents import LatentSettings
from ganstoch.models import TanhDiscriminator, TanhGenerator
from ganstoch.remedies import Remedy
from ganstoch.training.gan import GAN, AdamSettings

Make = Callable[..., Any]


@pytest.fixture
def make_point_game() -> Callable[..., GAN]:
    """Two networks of one hidden layer, and fresh latents."""

    def make(*remedies: Remedy) -> GAN:
        return GAN(
            partial(TanhGenerator, latent_dim=4, width=8, depth=1),
            partial(TanhDiscriminator, width=8, depth=1),
            remedies=remedies,
            latents=LatentSettings(bank="fresh"),
            optimizer=AdamSettings(lr=1e-2),
            ema_decay=0.0,
            shape=(2,),
        )

    return make


@pytest.fixture
def watch() -> Callable[[Callable[[Trainer, GAN], None]], Callback]:
    """Has a function called after every iteration."""

    def watch(look: Callable[[Trainer, GAN], None]) -> Callback:
        return LambdaCallback(on_train_batch_end=lambda trainer, gan, *_: look(trainer, gan))

    return watch


@pytest.fixture
def diverge(watch: Make) -> Callable[[str], Callback]:
    """Makes a weight of a network NaN after every iteration."""

    def diverge(network: str) -> Any:
        return watch(lambda _, gan: next(getattr(gan, network).parameters()).data.fill_(math.nan))

    return diverge


@pytest.fixture
def keep(tmp_path: Path) -> Callable[..., ModelCheckpoint]:
    """Keeps every iteration's checkpoint, by default as ``tmp_path/step=ITERATION.ckpt``."""

    def keep(folder: Path = tmp_path) -> ModelCheckpoint:
        return ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)

    return keep


@pytest.fixture
def make_ring() -> Callable[..., ImageData]:
    return partial(ImageData, Ring(), n=600, m=16)


@pytest.fixture
def run(make_gan: Make, make_data: Make, fit: Make) -> Make:
    """Plays the usual GAN on the usual data, with callbacks."""
    return lambda *callbacks, **others: fit(make_gan(), make_data(), *callbacks, **others)


@pytest.fixture
def run_points(make_point_game: Make, make_ring: Make, fit: Make) -> Make:
    """Plays the two small networks on points, with callbacks."""
    return lambda *callbacks, **others: fit(make_point_game(), make_ring(), *callbacks, **others)
