"""Worlds and games of a few numbers, to play remedies on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from ganstoch.data.subset import draw_ids
from ganstoch.latents import LatentSettings
from ganstoch.models import (
    Discriminator,
    Generator,
    PaperDiscriminator,
    PaperGenerator,
    TanhDiscriminator,
    TanhGenerator,
)
from ganstoch.objectives import Objective, Wasserstein
from ganstoch.remedies import Remedy
from ganstoch.rng import normal, rng_for, share, with_replacement
from ganstoch.training.gan import GAN, AdamSettings
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, MicroBatch, Shape

N, M, CLASSES = 24, 8, 3
CPU = torch.device("cpu")


def make(
    *remedies: Remedy,
    points: bool = True,
    objective: Objective | None = None,
    micro_batch: int | None = None,
    bank: int | str = "n",
    noise: float = 0.0,
    lr: float = 1e-3,
    seed: int = 0,
    classes: int | None = CLASSES,
) -> GAN:
    """A game of points in the plane, or of images, whose data are known: 24 in 3 classes."""
    game = GAN(
        partial(TanhGenerator, latent_dim=3, width=6)
        if points
        else partial(PaperGenerator, width=8, latent_dim=8),
        partial(TanhDiscriminator, width=6) if points else partial(PaperDiscriminator, width=8),
        objective,
        remedies=remedies,
        latents=LatentSettings(bank=bank, noise=noise),
        optimizer=AdamSettings(lr=lr),
        ema_decay=0.9,
        micro_batch=micro_batch,
        seed=seed,
        shape=(2,) if points else (1, 32, 32),
    )
    data, labels = world(game)
    known = None if classes is None else labels
    game.setup_latents(n=N, m=M, classes=classes, pixels=data, labels=known)
    return game


def world(game: GAN) -> tuple[Tensor, Tensor]:
    """All data, points or bytes, and their classes."""
    labels = torch.arange(N) % CLASSES
    rng = rng_for(0, "subset")
    if len(game.shape) == 1:
        return labels[:, None] + 0.1 * normal((N, 2), rng), labels
    pixels = (
        with_replacement(64, N * 1024, rng).view(N, 1, 32, 32) + 64 * labels[:, None, None, None]
    )
    return pixels.to(torch.uint8), labels


def draw(game: GAN, iteration: int, *, m: int = M) -> list[list[MicroBatch]]:
    """Everything that an iteration is played on, as `GAN.training_step` has it."""
    assert game.latents is not None
    assert game.micro_batch != "auto"
    data, labels = world(game)
    m, draws = m * game.remedies.spec.images_factor, []
    for repeat in range(sum(game.remedies.spec.updates) - 1):
        ids = draw_ids(
            "with_replacement", count=N, m=m, seed=game.seed, iteration=iteration, repeat=repeat
        )[share(m, group=game.remedies.spec.pack)]
        draws.append(
            split(
                Batch(data[ids], ids, size=m, labels=labels[ids]),
                game.latents.draw(
                    iteration, m, device=CPU, repeat=repeat, group=game.remedies.spec.pack
                ),
                micro_batch=game.micro_batch,
                dtype=next(game.generator.parameters()).dtype,
                group=game.remedies.spec.pack,
            )
        )
    return draws


def play(
    game: GAN, *, iterations: int, m: int = M, optimizers: Sequence[torch.optim.Optimizer] = ()
) -> list[dict[str, float]]:
    """Plays some iterations from the first on; their losses."""
    step_d, step_g = optimizers or game.configure_optimizers()
    losses = []
    for iteration in range(iterations):
        game.train_iteration(draw(game, iteration, m=m), step_d, step_g, iteration=iteration)
        losses.append({name: loss.item() for name, loss in game.losses.items()})
    return losses


@pytest.fixture
def tiny() -> SimpleNamespace:
    """What all of them need: ``make`` a game, ``draw`` its batches, ``play`` it, its ``world``."""
    return SimpleNamespace(make=make, draw=draw, play=play, world=world, n=N, m=M, classes=CLASSES)


@pytest.fixture
def same_under_micro_batches() -> Callable[..., None]:
    """That a batch in parts trains as the whole does, images and points alike."""

    def check(remedy: Callable[[], Remedy], *, micro_batch: int = 3) -> None:
        for points in (True, False):
            whole = make(remedy(), points=points).double()
            parts = make(remedy(), points=points, micro_batch=micro_batch).double()
            for one, other in zip(
                play(whole, iterations=3), play(parts, iterations=3), strict=True
            ):
                assert one == pytest.approx(other, abs=1e-12)
            pairs = zip(whole.parameters(), parts.parameters(), strict=True)
            # Adam's first steps divide rounding by rounding where a gradient is 0.
            assert max((a - b).abs().max().item() for a, b in pairs) < 1e-9

    return check


class _Point(Generator):
    """One point, whatever the latents."""

    latent_dim = 1

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.empty(1))

    def forward(self, latents: Tensor) -> Tensor:
        return self.theta.expand(len(latents), 1)


class _Slope(Discriminator):
    """The logit psi x."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.body, self.head, self.head_features = nn.Identity(), nn.Linear(1, 1, bias=False), 1


@pytest.fixture
def dirac() -> Callable[..., list[tuple[float, float]]]:
    """Plays the bilinear game of Mescheder et al. 2018, Sec. 2: all data at 0, descent by SGD.

    D minimises psi theta, G minimises -psi theta, both float64; (psi, theta) from the start on.
    """

    def play(*remedies: Remedy, lr: float, iterations: int) -> list[tuple[float, float]]:
        game = GAN(_Point, _Slope, Wasserstein(), remedies=remedies, shape=(1,)).double()
        game.setup_latents(n=2, m=2, pixels=torch.zeros(2, 1))
        assert game.latents is not None
        players = (game.discriminator, game.generator)
        psi, theta = (next(player.parameters()) for player in players)
        with torch.no_grad():
            psi.fill_(0.5)
            theta.fill_(1.0)
        steps = [torch.optim.SGD(player.parameters(), lr=lr) for player in players]
        path = [(psi.item(), theta.item())]
        for iteration in range(iterations):
            batch = Batch(torch.zeros(2, 1), torch.arange(2), size=2)
            z = game.latents.draw(iteration, 2, device=CPU)
            parts = split(batch, z, micro_batch=None, dtype=torch.float64)
            draws = [parts] * (sum(game.remedies.spec.updates) - 1)
            game.train_iteration(draws, *steps, iteration=iteration)
            path.append((psi.item(), theta.item()))
        return path

    return play


@pytest.fixture
def same_after_resume(
    make_data: Callable[..., Any],
    fit: Callable[..., Trainer],
    state_of: Callable[[Trainer], dict[str, Tensor]],
    assert_same_bits: Callable[..., None],
    tmp_path: Path,
) -> Callable[..., None]:
    """That a run under Lightning, resumed after its 4th iteration, is the uninterrupted one."""

    def check(remedy: Callable[[], Remedy]) -> None:
        def game() -> GAN:
            return GAN(
                partial(PaperGenerator, width=8, latent_dim=8),
                partial(PaperDiscriminator, width=8),
                remedies=[remedy()],
                ema_decay=0.9,
            )

        whole = fit(game(), make_data(), steps=6)
        assert whole.global_step == 6
        kept = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=4, save_top_k=-1)
        fit(game(), make_data(), kept, steps=5)
        rest = fit(game(), make_data(), steps=6, resume=tmp_path / "step=4.ckpt")
        assert_same_bits(state_of(rest), state_of(whole))

    return check
