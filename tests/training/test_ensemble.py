"""Several seeds as one: every seed goes the way it goes alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.data import ImageData, Ring
from ganstoch.errors import UserError
from ganstoch.latents import LatentSettings
from ganstoch.models import (
    MaxoutDiscriminator,
    PaperDiscriminator,
    PaperGenerator,
    ReLUGenerator,
    TanhDiscriminator,
    TanhGenerator,
)
from ganstoch.objectives import Objective, RelativisticAverage
from ganstoch.remedies import (
    FeatureMatching,
    LabelSmoothing,
    MinibatchDiscrimination,
    Packing,
    Remedy,
    Replay,
    Timescales,
    Unrolling,
)
from ganstoch.training.ensemble import Ensemble
from ganstoch.training.gan import GAN, AdamSettings
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch

CPU = torch.device("cpu")
SEEDS = (0, 1, 5)
M = 10


def make(
    seed: int, remedies: Sequence[Remedy] = (), objective: Objective | None = None, **others: Any
) -> GAN:
    game = GAN(
        others.get("generator", partial(ReLUGenerator, width=16, depth=2)),
        others.get("discriminator", partial(MaxoutDiscriminator, width=8, depth=2)),
        objective,
        remedies=remedies,
        latents=LatentSettings(bank="fresh"),
        optimizer=AdamSettings(lr=1e-2, beta1=0.5, beta2=0.9),
        ema_decay=0.5,
        seed=seed,
        shape=(2,),
    ).double()
    game.deal(n=200, m=M)
    return game


@pytest.fixture(scope="module")
def data() -> list[ImageData]:
    """Each seed draws its own batches from one ring."""
    made = [ImageData(Ring(size=200), n=200, m=M, seed=seed) for seed in SEEDS]
    for each in made:
        each.setup("fit")
    return made


def batches(games: Sequence[GAN], data: Sequence[ImageData], t: int) -> list[tuple[Batch, Tensor]]:
    drawn = []
    for game, each in zip(games, data, strict=True):
        each.images_factor, each.pack = game.remedies.images_factor, game.remedies.pack
        batch = each.batch(t)
        assert game.latents is not None
        z = game.latents.draw(t, batch.size, device=CPU, group=each.pack)
        drawn.append((batch, z))
    return drawn


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": dict,
    "tanh": lambda: {
        "generator": partial(TanhGenerator, latent_dim=3, width=8),
        "discriminator": partial(TanhDiscriminator, width=8),
    },
    "packs": lambda: {"remedies": [Packing(size=2, matched="packs")]},
    "a pack that is not full": lambda: {"remedies": [Packing(size=4)]},
    "two rates": lambda: {"remedies": [Timescales(generator=3.0)]},
    "looking at batches": lambda: {
        "remedies": [FeatureMatching(share=0.5), MinibatchDiscrimination(kernels=3, dims=2)]
    },
    "averages over batches": lambda: {"objective": RelativisticAverage()},
}


ADAMS_ROUNDING = 1e-10
"""Adam divides by |g| + 1e-8: where a gradient is 0 but for a rounding of 1e-16, which differs from
processor to processor, a step at a rate of 1e-2 moves by up to 1e-10."""


@pytest.mark.parametrize("case", CASES)
def test_every_seed_goes_its_own_way(case: str, data: list[ImageData]) -> None:
    alone = [make(seed, **CASES[case]()) for seed in SEEDS]
    together = [make(seed, **CASES[case]()) for seed in SEEDS]
    starts = [together[0].generator.state_dict()["layers.0.weight"].clone() for _ in (0,)]
    ensemble = Ensemble(together)
    steps = ensemble.configure_optimizers()
    steps_alone = [game.configure_optimizers() for game in alone]
    for t in range(6):
        drawn = batches(alone, data, t)
        ensemble.play(ensemble.stacked(drawn), *steps, iteration=t)
        for game, (batch, z), own in zip(alone, drawn, steps_alone, strict=True):
            parts = split(batch, z, micro_batch=None, dtype=torch.float64, group=game.remedies.pack)
            game.play([parts], *own, iteration=t)
        for one, other in zip(alone, together, strict=True):
            for name, loss in one.losses.items():
                torch.testing.assert_close(other.losses[name], loss, rtol=0, atol=1e-12)
    for one, other in zip(alone, together, strict=True):
        for name, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=ADAMS_ROUNDING)
    moved = together[0].generator.state_dict()["layers.0.weight"] - starts[0]
    assert moved.abs().max() > 1e-3
    assert not torch.equal(*(g.sample(torch.ones(2, g.generator.latent_dim)) for g in together[:2]))


@pytest.mark.parametrize("remedy", [Unrolling(steps=1), LabelSmoothing(), Replay()])
def test_what_needs_a_game_of_its_own_is_refused(remedy: Remedy) -> None:
    with pytest.raises(UserError, match=f"{type(remedy).__name__} needs a game of its own"):
        Ensemble([make(0, [remedy])])


def test_large_networks_are_refused() -> None:
    game = GAN(partial(PaperGenerator, width=8), partial(PaperDiscriminator, width=8))
    with pytest.raises(UserError, match="small networks"):
        Ensemble([game])


def test_the_games_see_every_update(data: list[ImageData]) -> None:
    games = [make(seed) for seed in SEEDS]
    ensemble = Ensemble(games)
    before = games[1].generator.state_dict()["layers.0.weight"].clone()
    with torch.no_grad():
        ensemble.generators.weights[0].add_(1.0)
    assert torch.equal(games[1].generator.state_dict()["layers.0.weight"], before + 1.0)
    moved = ensemble.float()
    moved.to_members()
    weight = moved.generators.weights[0]
    assert games[2].generator.state_dict()["layers.0.weight"].data_ptr() == weight[2].data_ptr()
