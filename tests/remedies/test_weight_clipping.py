from types import SimpleNamespace

import pytest
import torch

from ganstoch.remedies import DiscriminatorBatchNorm, WeightClipping


@pytest.mark.parametrize("points", [True, False])
def test_the_critic_takes_its_step_and_is_clipped(tiny: SimpleNamespace, points: bool) -> None:
    limit, beside = 0.015, DiscriminatorBatchNorm()
    clipped = tiny.make(beside, WeightClipping(limit=limit), points=points)
    plain = tiny.make(beside, points=points)
    for gan in (clipped, plain):
        tiny.train(gan, iterations=1)
    pairs = zip(clipped.discriminator.parameters(), plain.discriminator.parameters(), strict=True)
    assert all(torch.equal(one, other.clamp(-limit, limit)) for one, other in pairs)
    assert any((p.abs() > limit).any() for p in plain.discriminator.parameters())
    assert max(p.abs().max().item() for p in clipped.generator.parameters()) > limit


def test_spectrally_normalized_layers_are_leveled_and_not_shrunk(tiny: SimpleNamespace) -> None:
    gan = tiny.make(WeightClipping(limit=1e-4), points=False)
    tiny.train(gan, iterations=1)
    gan.discriminator.power_iterate()
    for layer in (gan.discriminator.body[0], gan.discriminator.head):
        weight = layer.weight.detach()
        assert weight.abs().max() <= 1e-4
        used = (weight / layer.norm()).flatten(1)
        assert torch.linalg.matrix_norm(used, 2).item() == pytest.approx(1.0, abs=0.2)
