from collections.abc import Callable
from functools import partial
from itertools import combinations
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim import Adam

from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.remedies import Ratio
from ganstoch.training.gan import GAN

Make = Callable[..., Any]


@pytest.mark.parametrize(("n_dis", "n_gen"), [(3, 1), (1, 3), (2, 2)])
def test_equals_the_loop_written_down(tiny: SimpleNamespace, n_dis: int, n_gen: int) -> None:
    """Goodfellow et al. 2014, Alg. 1: k steps of D, each on new examples and latents, then G's."""
    gan = tiny.make(Ratio(discriminator=n_dis, generator=n_gen)).double()
    twin = tiny.make().double()
    d, g = twin.discriminator, twin.generator
    step_d, step_g = (Adam(p.parameters(), lr=1e-3, betas=(0.0, 0.9)) for p in (d, g))
    for iteration in range(3):
        batches = [part for (part,) in tiny.draw(gan, iteration)]
        assert len(batches) == n_dis + n_gen - 1
        for part in batches[:n_dis]:
            step_d.zero_grad()
            real, fake = d(part.real).logits, d(g(part.latents).detach()).logits
            loss_d = softplus(-real).mean() + softplus(fake).mean()
            torch.autograd.backward(loss_d)
            step_d.step()
        for part in batches[n_dis - 1 :]:
            step_g.zero_grad()
            loss_g = softplus(-d(g(part.latents)).logits).mean()
            torch.autograd.backward(loss_g)
            step_g.step()
    losses = tiny.train(gan, iterations=3)[-1]
    expected = {"loss/discriminator": loss_d.item(), "loss/generator": loss_g.item()}
    assert losses == pytest.approx(expected, abs=1e-12)
    for mine, theirs in ((gan.discriminator, d), (gan.generator, g)):
        pairs = zip(mine.parameters(), theirs.parameters(), strict=True)
        assert max((a - b).abs().max().item() for a, b in pairs) < 1e-11


def test_every_update_has_a_batch_and_latents_of_its_own(make_data: Make, fit: Make) -> None:
    networks = partial(PaperGenerator, width=8, latent_dim=8), partial(PaperDiscriminator, width=8)
    gan, data = GAN(*networks, remedies=[Ratio(discriminator=2, generator=2)]), make_data()
    seen: list[list[tuple[Tensor, Tensor]]] = []
    train = gan.train_iteration

    def recorded(batches: Any, *optimizers: Any, iteration: int) -> None:
        seen.append([(part.ids, part.latents) for (part,) in batches])
        train(batches, *optimizers, iteration=iteration)

    with mock.patch.object(gan, "train_iteration", recorded):
        fit(gan, data, steps=2)
    assert gan.latents is not None
    for iteration, batches in enumerate(seen):
        for repeat, (ids, z) in enumerate(batches):
            assert torch.equal(ids, data.batch(iteration, repeat=repeat).ids)
            drawn = gan.latents.draw(iteration, 16, device=torch.device("cpu"), repeat=repeat)
            assert torch.equal(z, drawn)
    pairs = list(combinations([*seen[0], *seen[1]], 2))
    assert len(pairs) == 15  # of three batches in each of two iterations
    assert not any(torch.equal(a, c) or torch.equal(b, d) for (a, b), (c, d) in pairs)
