import copy
from collections import Counter
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import Snapshots
from ganstoch.remedies.base import DiscriminatorPass, StepInfo


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def met(remedy: Snapshots, *, iterations: int) -> list[Any]:
    """Which copy each iteration meets, by its place."""
    for place, copied in enumerate(remedy.copies):
        for value in copied.buffers():
            value.fill_(place)
    met = [remedy._old(StepInfo(0, t)) for t in range(iterations)]
    return [None if old is None else int(next(iter(old.values())).max()) for old in met]


def test_when_an_old_player_plays_and_which(tiny: SimpleNamespace) -> None:
    remedy = Snapshots(every=10, keep=3, lasting=2)
    tiny.make(remedy)
    who = met(remedy, iterations=60)
    assert [t for t in range(60) if who[t] is not None] == [10, 11, 20, 21, 30, 31, 40, 41, 50, 51]
    assert who[10] == who[11] == 0  # there is one only
    assert {who[20], who[21]} <= {0, 1}

    remedy = Snapshots(every=1, keep=4, lasting=1)
    tiny.make(remedy)
    counts = Counter(met(remedy, iterations=2004)[4:])
    assert sorted(counts) == [0, 1, 2, 3]
    assert all(abs(count - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5 for count in counts.values())


@pytest.mark.parametrize("of", ["generator", "discriminator"])
def test_keeps_the_last_few_and_trains_none(tiny: SimpleNamespace, of: Any) -> None:
    remedy = Snapshots(of=of, every=2, keep=2, lasting=1)
    gan = tiny.make(remedy, points=False)
    steps, past = gan.configure_optimizers(), []
    for iteration in range(7):
        tiny.train(gan, iterations=1, start=iteration, optimizers=steps)
        past.append(copy.deepcopy(getattr(gan, of).state_dict()))
    first, second = (remedy._copy(place).values() for place in range(2))
    assert same(first, past[5])  # the third copy, in the first one's place
    assert same(second, past[3])
    assert not same(past[5], past[3])
    assert [name for name, _ in gan.remedies.named_parameters()] == []
    for player in (gan.generator, gan.discriminator):
        assert all(p.grad is None and p.requires_grad for p in player.parameters())


@pytest.mark.parametrize("points", [True, False])
def test_discriminators_learn_from_an_old_generator(tiny: SimpleNamespace, points: bool) -> None:
    gan = tiny.make(Snapshots(every=2, keep=1, lasting=1), points=points).double()
    steps = gan.configure_optimizers()
    tiny.train(gan, iterations=2, optimizers=steps)
    old = copy.deepcopy(gan.generator)
    with torch.no_grad():  # now it is another
        for p in gan.generator.parameters():
            p.add_(0.05)
    shown: list[Tensor] = []

    def observed(remedy: Snapshots, scores: DiscriminatorPass) -> dict[str, Tensor]:
        shown.append(scores.fakes)
        return {}

    with mock.patch.object(Snapshots, "observe", observed):
        tiny.train(gan, iterations=2, start=2, optimizers=steps)
    then, later = (old(tiny.draw(gan, t)[0][0].latents) for t in (2, 3))
    assert torch.equal(shown[0], then)
    assert not shown[0].requires_grad
    assert not torch.allclose(shown[1], later)  # its time is over


def test_the_generator_meets_an_old_discriminator(tiny: SimpleNamespace) -> None:
    remedy = Snapshots(of="discriminator", every=2, keep=1, lasting=1)
    gan = tiny.make(remedy, points=False).double()
    steps = gan.configure_optimizers()
    tiny.train(gan, iterations=2, optimizers=steps)
    old, ((part,),) = copy.deepcopy(gan.discriminator), tiny.draw(gan, 2)
    fakes = gan.generator(part.latents).detach()
    (losses,) = tiny.train(gan, iterations=1, start=2, optimizers=steps)
    assert not same(old.state_dict(), gan.discriminator.state_dict())  # it is trained as ever
    expected = torch.nn.functional.softplus(-old(fakes).logits).mean().item()
    assert losses["loss/generator"] == pytest.approx(expected, abs=1e-12)
    assert remedy.critic_for_generator(gan, part, fakes, info=StepInfo(0, 3)) is None
