from __future__ import annotations

import copy
from collections import Counter
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import Snapshots
from ganstoch.remedies.base import StepInfo
from ganstoch.training.gan import GAN


def bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def met(remedy: Snapshots, *, iterations: int) -> list[int | None]:
    """Which copy each iteration meets, by its place."""
    found = [remedy._old(StepInfo(0, t)) for t in range(iterations)]
    return [None if old is None else list(remedy.copies).index(old) for old in found]


def test_when_an_old_player_plays(tiny: SimpleNamespace) -> None:
    remedy = Snapshots(every=10, keep=3, lasting=2)
    tiny.make(remedy)
    who = met(remedy, iterations=60)
    assert [t for t, place in enumerate(who) if place is not None] == [
        t for t in range(60) if t >= 10 and t % 10 < 2
    ]
    assert who[10] == who[11] == 0  # there is one only
    assert {who[20], who[21]} <= {0, 1}


def test_every_copy_is_drawn_alike(tiny: SimpleNamespace) -> None:
    remedy = Snapshots(every=1, keep=4, lasting=1)
    tiny.make(remedy)
    counts = Counter(met(remedy, iterations=2004)[4:])
    assert sorted(counts) == [0, 1, 2, 3]
    assert all(abs(count - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5 for count in counts.values())


@pytest.mark.parametrize("of", ["generator", "discriminator"])
def test_keeps_the_last_few(tiny: SimpleNamespace, of: Any) -> None:
    remedy = Snapshots(of=of, every=2, keep=2, lasting=1)
    game: GAN = tiny.make(remedy, points=False)
    player = game.generator if of == "generator" else game.discriminator
    steps, past = game.configure_optimizers(), []
    for iteration in range(7):
        game.train_iteration(tiny.draw(game, iteration), *steps, iteration=iteration)
        past.append(bits(player.state_dict()))
    kept = [remedy._copy(place).values() for place in range(2)]
    assert same(kept[0], past[5])  # the third copy, in the first one's place
    assert same(kept[1], past[3])
    assert not same(past[5], past[3])


@pytest.mark.parametrize("points", [True, False])
def test_the_discriminator_learns_from_an_old_generator(
    tiny: SimpleNamespace, points: bool
) -> None:
    """D's update is the plain one on the images of G as it was; G's is the plain one."""
    game: GAN = tiny.make(Snapshots(every=2, keep=1, lasting=1), points=points).double()
    steps = game.configure_optimizers()
    for iteration in range(2):
        game.train_iteration(tiny.draw(game, iteration), *steps, iteration=iteration)
    old = copy.deepcopy(game.generator)
    with torch.no_grad():  # now it is another
        for p in game.generator.parameters():
            p.add_(0.05)
    ((part,),) = tiny.draw(game, 2)
    shown: list[Tensor] = []
    observed = lambda _, scores: shown.append(scores.fakes) or {}  # noqa: E731
    with mock.patch.object(Snapshots, "observe", observed):
        game.train_iteration([[part]], *steps, iteration=2)
        game.train_iteration(tiny.draw(game, 3), *steps, iteration=3)
    assert torch.equal(shown[0], old(part.latents))
    assert not shown[0].requires_grad
    its = old(tiny.draw(game, 3)[0][0].latents)
    assert not torch.allclose(shown[1], its)  # its time is over


def test_the_generator_meets_an_old_discriminator(tiny: SimpleNamespace) -> None:
    game: GAN = tiny.make(
        Snapshots(of="discriminator", every=2, keep=1, lasting=1), points=False
    ).double()
    steps = game.configure_optimizers()
    for iteration in range(2):
        game.train_iteration(tiny.draw(game, iteration), *steps, iteration=iteration)
    old, live = copy.deepcopy(game.discriminator), bits(game.discriminator.state_dict())
    ((part,),) = tiny.draw(game, 2)
    fakes = game.generator(part.latents).detach()
    game.train_iteration([[part]], *steps, iteration=2)
    assert not same(live, bits(game.discriminator.state_dict()))  # it is trained as ever
    logits = old(fakes).logits
    expected = torch.nn.functional.softplus(-logits).mean().item()
    assert game.losses["loss/generator"].item() == pytest.approx(expected, abs=1e-12)
    (remedy,) = game.remedies
    info = StepInfo(0, 3)
    critic = remedy.critic_for_generator(game.discriminator, game, part, fakes, info=info)
    assert critic is game.discriminator


@pytest.mark.parametrize("of", ["generator", "discriminator"])
def test_trains_no_copy(tiny: SimpleNamespace, of: Any) -> None:
    game: GAN = tiny.make(Snapshots(of=of, every=5, keep=2, lasting=5))
    assert [name for name, _ in game.remedies.named_parameters()] == []
    tiny.play(game, iterations=6)
    for player in (game.generator, game.discriminator):
        assert all(p.grad is None and p.requires_grad for p in player.parameters())
