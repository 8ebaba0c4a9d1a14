"""Learnable latents: Adam on the bank, of the gradients that the generator's loss has there."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganstoch.errors import UserError
from ganstoch.remedies import LearnableLatents
from ganstoch.training.gan import GAN


def bank(gan: GAN) -> torch.Tensor:
    assert gan.latents is not None
    assert gan.latents.fixed is not None
    return gan.latents.fixed.clone()


def test_the_bank_follows_adam_as_a_parameter_would(tiny: SimpleNamespace) -> None:
    """Beside networks that are put back, so that the loss can be made again from outside."""
    gan = tiny.make(LearnableLatents(rate=30.0), micro_batch=3).double()
    players = (gan.discriminator, gan.generator)
    optimizers = [torch.optim.Adam(player.parameters(), lr=1e-2) for player in players]
    optimizers[0].param_groups[0]["lr"] = 0.0  # G's loss is of D as it is after its update
    z = nn.Parameter(bank(gan).double())
    adam = torch.optim.Adam([z], lr=30.0 * 1e-2)
    kept = {name: value.clone() for name, value in gan.generator.state_dict().items()}
    for iteration in range(4):
        parts = tiny.draw(gan, iteration)
        gan.train_iteration(parts, *optimizers, iteration=iteration)
        gan.generator.load_state_dict(kept)
        ids = gan.latents.draw_ids(iteration, tiny.m)  # type: ignore[union-attr]
        adam.zero_grad()
        gan.objective.generator(gan.discriminator(gan.generator(z[ids])).logits).backward()
        adam.step()
        assert (bank(gan) - z).abs().max() < 1e-12
    assert (bank(gan) - bank(tiny.make())).abs().max() > 0.1


def test_evaluation_has_the_trained_bank(tiny: SimpleNamespace) -> None:
    gan = tiny.make(LearnableLatents())
    before = bank(gan)
    tiny.train(gan, iterations=2)
    after = gan.latents.evaluation()
    assert (after != before).any()
    assert not after.requires_grad
    assert (after == gan.state_dict()["remedies.0.bank"]).all()


def test_a_checkpoint_brings_its_bank(tiny: SimpleNamespace) -> None:
    gan, other = (tiny.make(LearnableLatents()) for _ in range(2))
    tiny.train(gan, iterations=2)
    other.load_state_dict(gan.state_dict())
    assert (bank(other) == bank(gan)).all()


def test_fresh_latents_cannot_be_trained(tiny: SimpleNamespace) -> None:
    with pytest.raises(UserError, match=r"model\.latents\.bank"):
        tiny.make(LearnableLatents(), bank="fresh")
