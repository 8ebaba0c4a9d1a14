import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import ExperienceReplay
from ganstoch.remedies.base import DiscriminatorPass, StepInfo
from ganstoch.training.gan import GAN


@contextmanager
def watched(remedy: ExperienceReplay) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """What G makes for each part of D's updates, and what D is shown."""
    seen: list[tuple[Tensor, Tensor]] = []
    observe = remedy.observe

    def observed(scores: DiscriminatorPass) -> object:
        seen.append((scores.generated.clone(), scores.fakes.clone()))
        return observe(scores)

    with mock.patch.object(remedy, "observe", observed):
        yield seen


def rows_in(rows: Tensor, pool: Tensor) -> list[bool]:
    return [any(torch.equal(row, old) for old in pool) for row in rows]


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize(("share", "count"), [(0.5, 4), (0.25, 2), (0.01, 1), (1.0, 8)])
def test_shows_an_exact_share_of_what_was_put_by(
    tiny: SimpleNamespace, share: float, count: int, points: bool
) -> None:
    remedy = ExperienceReplay(share=share, capacity=4 * count)
    gan = tiny.make(remedy, points=points)
    put_by: list[Tensor] = []
    steps = gan.configure_optimizers()
    with watched(remedy) as seen:
        for iteration in range(6):
            tiny.train(gan, iterations=1, start=iteration, optimizers=steps)
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
    gan = tiny.make(remedy)
    steps, before, changes = gan.configure_optimizers(), torch.zeros(6, 2), []
    for iteration in range(30):
        tiny.train(gan, iterations=1, start=iteration, optimizers=steps)
        changes.append((remedy.images != before).any(1).nonzero().flatten().tolist())
        before = remedy.images.clone()
    assert changes[:2] == [[0, 1, 2, 3], [0, 1, 4, 5]]  # past the end
    assert all(len(changed) == 4 for changed in changes)
    assert len({tuple(changed) for changed in changes[2:]}) > 5


def test_a_buffer_smaller_than_the_share_takes_what_it_can(tiny: SimpleNamespace) -> None:
    remedy = ExperienceReplay(share=1.0, capacity=3)
    gan = tiny.make(remedy)
    with watched(remedy) as seen:
        tiny.train(gan, iterations=2)
    assert remedy.seen.item() == 6
    assert all(rows_in(seen[1][1], seen[0][0]))  # all eight from three
    assert len({tuple(row.tolist()) for row in seen[1][1]}) <= 3


def test_every_example_of_the_buffer_is_drawn_alike(tiny: SimpleNamespace) -> None:
    remedy = ExperienceReplay(share=1.0, capacity=4)
    gan = tiny.make(remedy)
    remedy.images.copy_(torch.arange(4.0)[:, None].expand(4, 2))
    remedy.seen.fill_(3)  # one place is empty yet
    ((part,),) = tiny.draw(gan, 0)
    fakes = torch.full((8, 2), -1.0)
    drawn = [
        remedy.fakes_for_discriminator(fakes, gan, part, info=StepInfo(0, t))[:, 0]
        for t in range(400)
    ]
    counts = torch.cat(drawn).long().bincount(minlength=4)
    assert counts[3] == 0
    assert counts.sum() == 3200
    assert (counts[:3] - 3200 / 3).abs().max() < 5 * (3200 * 2 / 9) ** 0.5


def test_is_the_discriminators_alone(tiny: SimpleNamespace) -> None:
    gans: list[GAN] = [tiny.make(ExperienceReplay(capacity=8)), tiny.make()]
    for gan in gans:
        step_d, step_g = gan.configure_optimizers()
        with mock.patch.object(step_d, "step"):
            tiny.train(gan, iterations=4, optimizers=(step_d, step_g))
    ours, plain = (gan.generator.state_dict() for gan in gans)
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def test_the_shares_of_ranks_add_up(tiny: SimpleNamespace) -> None:
    alone, info = ExperienceReplay(share=0.5, capacity=16), StepInfo(0, 0)
    gan = tiny.make(alone)
    scores = tiny.scores(gan)
    ranks = [copy.deepcopy(alone) for _ in range(2)]
    for rank, remedy in enumerate(ranks):
        part = replace(scores.batch, positions=scores.batch.positions[rank::2])
        remedy.observe(replace(scores, batch=part, generated=scores.generated[rank::2]))
    alone.observe(scores)
    alone.after_step(gan, info=info)
    theirs = ranks[1]._entering[0]

    def largest(mine: Tensor) -> None:
        torch.maximum(mine, theirs, out=mine)

    with mock.patch.object(gan, "keep_largest", largest):
        ranks[0].after_step(gan, info=info)
    assert alone.images[:4].abs().min() > 0
    assert torch.equal(ranks[0].images, alone.images)
