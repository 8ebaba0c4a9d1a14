from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ganstoch.remedies import DiscriminatorBatchNorm, WeightClipping


@pytest.mark.parametrize("points", [True, False])
def test_the_critic_takes_its_step_and_is_clipped(tiny: SimpleNamespace, points: bool) -> None:
    limit = 0.015
    clipped, plain = tiny.make(WeightClipping(limit=limit), points=points), tiny.make(points=points)
    for game in (clipped, plain):
        tiny.play(game, iterations=1)
    beyond = 0
    for one, other in zip(
        clipped.discriminator.parameters(), plain.discriminator.parameters(), strict=True
    ):
        assert torch.equal(one, other.clamp(-limit, limit))
        beyond += int((other.abs() > limit).sum())
    assert beyond > 0
    assert max(p.abs().max().item() for p in clipped.generator.parameters()) > limit


def test_stays_in_the_box(tiny: SimpleNamespace) -> None:
    game = tiny.make(WeightClipping(limit=0.01), DiscriminatorBatchNorm(), lr=0.1)
    tiny.play(game, iterations=4)
    limits = [p.abs().max().item() for p in game.discriminator.parameters()]
    assert max(limits) == pytest.approx(0.01)
    assert {name for name, _ in game.discriminator.named_parameters()} >= {"body.4.weight"}
    assert all(p.requires_grad and p.grad is None for p in game.discriminator.parameters())


def test_spectrally_normalised_layers_are_levelled_and_not_shrunk(tiny: SimpleNamespace) -> None:
    """What the layer computes with is the weight over its norm, whatever the box."""
    game = tiny.make(WeightClipping(limit=1e-4), points=False)
    tiny.play(game, iterations=1)
    game.discriminator.power_iterate()
    for layer in (game.discriminator.body[0], game.discriminator.head):
        weight = layer.weight.detach()
        assert weight.abs().max() <= 1e-4
        used = (weight / layer.norm()).flatten(1)
        assert torch.linalg.matrix_norm(used, 2).item() == pytest.approx(1.0, abs=0.2)
