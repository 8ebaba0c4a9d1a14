from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim import Adam

from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.remedies import Ratio
from ganstoch.training.gan import GAN, AdamSettings

Make = Callable[..., Any]


def digits_game(*, n_dis: int, n_gen: int, micro_batch: int | None = None) -> GAN:
    return GAN(
        partial(PaperGenerator, width=16, latent_dim=8),
        partial(PaperDiscriminator, width=16),
        remedies=[Ratio(discriminator=n_dis, generator=n_gen)],
        optimizer=AdamSettings(lr=1e-3),
        ema_decay=0.9,
        micro_batch=micro_batch,
    )


@pytest.mark.parametrize(("n_dis", "n_gen"), [(3, 1), (1, 3), (2, 2)])
def test_equals_the_loop_written_down(tiny: SimpleNamespace, n_dis: int, n_gen: int) -> None:
    """Goodfellow et al. 2014, Alg. 1: k steps of D, each on new examples and latents, then G's."""
    game = tiny.make(Ratio(discriminator=n_dis, generator=n_gen)).double()
    twin = tiny.make().double()
    d, g = twin.discriminator, twin.generator
    step_d, step_g = (Adam(p.parameters(), lr=1e-3, betas=(0.0, 0.9)) for p in (d, g))
    for iteration in range(3):
        batches = [part for (part,) in tiny.draw(game, iteration)]
        assert len(batches) == n_dis + n_gen - 1
        for part in batches[:n_dis]:
            step_d.zero_grad()
            real, fake = d(part.real).logits, d(g(part.latents).detach()).logits
            loss_d = softplus(-real).mean() + softplus(fake).mean()
            loss_d.backward()
            step_d.step()
        for part in batches[n_dis - 1 :]:
            step_g.zero_grad()
            loss_g = softplus(-d(g(part.latents)).logits).mean()
            loss_g.backward()
            step_g.step()
    losses = tiny.play(game, iterations=3)[-1]
    expected = {"loss/discriminator": loss_d.item(), "loss/generator": loss_g.item()}
    assert losses == pytest.approx(expected, abs=1e-12)
    for mine, theirs in ((game.discriminator, d), (game.generator, g)):
        pairs = zip(mine.parameters(), theirs.parameters(), strict=True)
        assert max((a - b).abs().max().item() for a, b in pairs) < 1e-11


def test_every_further_update_has_a_batch_and_latents_of_its_own(
    make_data: Make, fit: Make
) -> None:
    game, data = digits_game(n_dis=2, n_gen=2), make_data()
    seen: list[tuple[int, list[tuple[Tensor, Tensor]]]] = []
    train = game.train_iteration

    def noted(draws: Any, *optimizers: Any, iteration: int, **others: Any) -> None:
        seen.append((iteration, [(part.ids, part.latents) for (part,) in draws]))
        train(draws, *optimizers, iteration=iteration, **others)

    game.train_iteration = noted  # type: ignore[method-assign]
    fit(game, data, steps=2)
    assert game.latents is not None
    everything: list[tuple[Tensor, Tensor]] = []
    for iteration, (_, draws) in enumerate(seen):
        assert len(draws) == 3
        for repeat, (ids, z) in enumerate(draws):
            assert torch.equal(ids, data.batch(iteration, repeat=repeat).ids)
            drawn = game.latents.draw(iteration, 16, device=torch.device("cpu"), repeat=repeat)
            assert torch.equal(z, drawn)
        everything += draws
    for i, (ids, z) in enumerate(everything):
        for other_ids, other_z in everything[:i]:
            assert not torch.equal(ids, other_ids)
            assert not torch.equal(z, other_z)
