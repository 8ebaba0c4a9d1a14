from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import ExperienceReplay, Ratio
from ganstoch.remedies.base import DiscriminatorPass, StepInfo
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, DiscriminatorOutput, MicroBatch


@contextmanager
def watched(game: GAN) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """What G makes for each part of D's updates, and what D is shown."""
    (remedy,) = (r for r in game.remedies if isinstance(r, ExperienceReplay))
    seen: list[tuple[Tensor, Tensor]] = []
    observe = remedy.observe

    def observed(scores: DiscriminatorPass) -> object:
        seen.append((scores.generated.clone(), scores.fakes.clone()))
        return observe(scores)

    with mock.patch.object(remedy, "observe", observed):
        yield seen


def scores_of(fakes: Tensor, batch: MicroBatch, info: StepInfo) -> DiscriminatorPass:
    output = DiscriminatorOutput(fakes[:, 0], fakes)
    return DiscriminatorPass(info, batch, fakes, fakes, lambda x: output, output, output)


def rows_in(rows: Tensor, pool: Tensor) -> list[bool]:
    return [any(torch.equal(row, old) for old in pool) for row in rows]


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize(("share", "count"), [(0.5, 4), (0.25, 2), (0.01, 1), (1.0, 8)])
def test_shows_an_exact_share_of_what_was_put_by(
    tiny: SimpleNamespace, share: float, count: int, points: bool
) -> None:
    game: GAN = tiny.make(ExperienceReplay(share=share, capacity=4 * count), points=points)
    (remedy,) = game.remedies
    put_by: list[Tensor] = []
    steps = game.configure_optimizers()
    with watched(game) as seen:
        for iteration in range(6):
            game.train_iteration(tiny.draw(game, iteration), *steps, iteration=iteration)
            fresh, shown = seen[-1]
            old = torch.tensor([not torch.equal(a, b) for a, b in zip(fresh, shown, strict=True)])
            if iteration == 0:
                assert not old.any()
                entered = remedy.images[:count]  # what was put by is in the first free places
                assert all(rows_in(entered, fresh))
                put_by.append(entered.clone())
                continue
            assert old.sum() == count
            assert all(rows_in(shown[old], torch.cat(put_by)))
            held = remedy.images[: min(len(put_by) + 1, 4) * count]
            assert sum(rows_in(fresh[old], held)) == count  # the replaced ones are put by
            put_by.append(fresh[old])
    assert remedy.seen.item() == 6 * count
    assert all(rows_in(remedy.images, torch.cat(put_by)))
    assert len({tuple(row.flatten().tolist()) for row in remedy.images}) == 4 * count


def test_fills_in_order_and_then_anywhere(tiny: SimpleNamespace) -> None:
    remedy = ExperienceReplay(share=0.5, capacity=6)
    game: GAN = tiny.make(remedy)
    steps, before = game.configure_optimizers(), torch.zeros(6, 2)
    changes = []
    for iteration in range(30):
        game.train_iteration(tiny.draw(game, iteration), *steps, iteration=iteration)
        changed = (remedy.images != before).any(1).nonzero().flatten().tolist()
        changes.append(changed)
        before = remedy.images.clone()
    assert changes[0] == [0, 1, 2, 3]
    assert changes[1] == [0, 1, 4, 5]  # past the end
    assert all(len(changed) == 4 for changed in changes)
    assert len({tuple(changed) for changed in changes[2:]}) > 5


def test_a_buffer_smaller_than_the_share_takes_what_it_can(tiny: SimpleNamespace) -> None:
    remedy = ExperienceReplay(share=1.0, capacity=3)
    game: GAN = tiny.make(remedy)
    with watched(game) as seen:
        tiny.play(game, iterations=2)
    assert remedy.seen.item() == 6
    assert all(rows_in(seen[1][1], seen[0][0]))  # all eight from three
    assert len({tuple(row.tolist()) for row in seen[1][1]}) <= 3


def test_every_example_of_the_buffer_is_drawn_alike(tiny: SimpleNamespace) -> None:
    remedy = ExperienceReplay(share=1.0, capacity=4)
    game: GAN = tiny.make(remedy)
    remedy.images.copy_(torch.arange(4.0)[:, None].expand(4, 2))
    remedy.seen.fill_(3)  # one place is empty yet
    ((part,),) = tiny.draw(game, 0)
    fakes = torch.full((8, 2), -1.0)
    drawn = torch.cat(
        [
            remedy.fakes_for_discriminator(fakes, game, part, info=StepInfo(0, t))[:, 0]
            for t in range(400)
        ]
    )
    counts = drawn.long().bincount(minlength=4)
    assert counts[3] == 0
    assert counts.sum() == 3200
    assert (counts[:3] - 3200 / 3).abs().max() < 5 * (3200 * 2 / 9) ** 0.5


def test_is_the_discriminators_alone(tiny: SimpleNamespace) -> None:
    """With D held fast, G moves as in the plain game, to the bit; let go, D does not."""
    games: list[GAN] = [tiny.make(ExperienceReplay(capacity=8)), tiny.make()]
    for game in games:
        step_d, step_g = game.configure_optimizers()
        with mock.patch.object(step_d, "step"):
            tiny.play(game, iterations=4, optimizers=(step_d, step_g))
    ours, plain = (game.generator.state_dict() for game in games)
    assert all(torch.equal(ours[name], plain[name]) for name in plain)
    for game in games:
        tiny.play(game, iterations=2)
    ours, plain = (game.discriminator.state_dict() for game in games)
    assert any(not torch.equal(ours[name], plain[name]) for name in plain)


def test_several_updates_put_by_apart(tiny: SimpleNamespace) -> None:
    remedy = ExperienceReplay(share=0.5, capacity=64)
    game: GAN = tiny.make(remedy, Ratio(discriminator=3, generator=1))
    with watched(game) as seen:
        tiny.play(game, iterations=2)
    assert remedy.seen.item() == 2 * 3 * 4
    fresh = torch.cat([made for made, _ in seen])
    assert all(rows_in(remedy.images[:24], fresh))
    assert [torch.equal(made, shown) for made, shown in seen] == [True] * 3 + [False] * 3


def test_the_shares_of_ranks_add_up(tiny: SimpleNamespace) -> None:
    alone = ExperienceReplay(share=0.5, capacity=16)
    game: GAN = tiny.make(alone)
    fakes, info = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), StepInfo(0, 0)
    ranks = [copy.deepcopy(alone) for _ in range(2)]
    for rank, remedy in enumerate(ranks):
        batch = Batch(torch.zeros(4, 2), torch.arange(4), size=8)
        (part,) = split(
            batch, torch.zeros(4, 3), micro_batch=None, dtype=torch.float32, rank=rank, world=2
        )
        remedy.observe(scores_of(fakes[rank::2], part, info))
    ((whole,),) = tiny.draw(game, 0)
    alone.observe(scores_of(fakes, whole, info))
    alone.after_step(game, info=info)
    theirs = ranks[1]._entering[0]

    def largest(mine: Tensor) -> None:
        torch.maximum(mine, theirs, out=mine)

    with mock.patch.object(game, "keep_largest", largest):
        ranks[0].after_step(game, info=info)
    assert alone.images[:4].abs().min() > 0
    assert torch.equal(ranks[0].images, alone.images)
