from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.optim import Adam

from ganstoch.errors import UserError
from ganstoch.models import TanhDiscriminator, TanhGenerator
from ganstoch.remedies import Pretraining, Ratio
from ganstoch.training.gan import GAN, AdamSettings


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_is_regression_on_pairs(tiny: SimpleNamespace, noise: float) -> None:
    game = tiny.make(Pretraining(iterations=3), points=False, noise=noise).double()
    twin = tiny.make(points=False).double()
    losses = tiny.play(game, iterations=3)
    step = Adam(twin.generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    assert twin.latents is not None
    assert twin.latents.fixed is not None
    data, _ = tiny.world(twin)
    for iteration in range(3):
        ((part,),) = tiny.draw(twin, iteration)
        error = twin.generator(twin.latents.fixed[part.ids].double()) - (
            data[part.ids].double() / 127.5 - 1
        )
        step.zero_grad()
        error.abs().mean().backward()
        step.step()
        assert losses[iteration]["loss/generator"] == pytest.approx(error.abs().mean().item())
        assert losses[iteration]["loss/discriminator"] == 0.0
    for one, other in zip(game.generator.parameters(), twin.generator.parameters(), strict=True):
        assert (one - other).abs().max() < 1e-12
    untouched = tiny.make(points=False).double().discriminator.state_dict()
    for name, value in game.discriminator.state_dict().items():
        assert torch.equal(value, untouched[name]), name


def test_learns_its_pairs(tiny: SimpleNamespace) -> None:
    game = GAN(
        partial(TanhGenerator, latent_dim=8, width=64),
        partial(TanhDiscriminator, width=6),
        remedies=[Pretraining(iterations=150)],
        optimizer=AdamSettings(lr=0.005),
        shape=(2,),
    )
    game.setup_latents(n=tiny.n, m=tiny.m)
    losses = tiny.play(game, iterations=150)
    assert losses[-1]["loss/generator"] < 0.25 * losses[0]["loss/generator"]


def test_then_the_game_is_played(tiny: SimpleNamespace) -> None:
    game, twin = tiny.make(Pretraining(iterations=2)), tiny.make()
    steps = game.configure_optimizers()
    for iteration in range(2):
        game.train_iteration(tiny.draw(game, iteration), *steps, iteration=iteration)
    twin.load_state_dict(game.state_dict())
    twins = twin.configure_optimizers()
    twins[1].load_state_dict(copy.deepcopy(steps[1].state_dict()))
    for iteration in range(2, 4):
        game.train_iteration(tiny.draw(game, iteration), *steps, iteration=iteration)
        twin.train_iteration(tiny.draw(twin, iteration), *twins, iteration=iteration)
    for name, value in game.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name


def test_one_update_an_iteration_whatever_the_ratio(tiny: SimpleNamespace) -> None:
    game = tiny.make(Pretraining(iterations=2), Ratio(discriminator=2, generator=2))
    steps = game.configure_optimizers()
    tiny.play(game, iterations=2, optimizers=steps)
    assert steps[0].state == {}
    assert {state["step"].item() for state in steps[1].state.values()} == {2.0}


@pytest.mark.parametrize(
    ("bank", "complaint"),
    [
        ("fresh", "fresh latents are never seen again; set model.latents.bank to n"),
        (23, "each of 24 images with a latent of its own, and the bank has 23; set model.latents"),
    ],
)
def test_refuses_latents_without_partners(
    tiny: SimpleNamespace, bank: int | str, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        tiny.make(Pretraining(), bank=bank)
    assert tiny.make(Pretraining(), bank="2n").latents.count == 48
