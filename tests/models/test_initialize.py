from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import nn

from ganstoch import models
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.layers import BatchNorm, SpectralConv2d, initialize
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN


@pytest.fixture
def critic() -> PaperDiscriminator:
    critic = PaperDiscriminator((3, 32, 32), width=16)
    initialize(critic, std=0.02, rng=rng_for(0, "init"))
    return critic


@pytest.mark.parametrize("network", [PaperGenerator, PaperDiscriminator])
def test_draws_are_those_of_the_records(network: type[PaperGenerator | PaperDiscriminator]) -> None:
    made, rng = network((3, 32, 32), width=8), rng_for(0, "init")
    initialize(made, std=0.1, rng=rng_for(0, "init"))
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        else:
            assert torch.equal(parameter, torch.randn(parameter.shape, generator=rng) * 0.1), name


def test_depends_on_the_seed_alone(make_gan: Callable[..., GAN]) -> None:
    torch.manual_seed(0)
    first = make_gan().state_dict()
    torch.manual_seed(1)
    again, other = make_gan().state_dict(), make_gan(seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    weights = [name for name in first if first[name].dim() > 1]
    assert not any(torch.equal(first[name], other[name]) for name in weights)


def test_spectral_norms_are_close_from_the_start(critic: PaperDiscriminator) -> None:
    for layer in critic.modules():
        if isinstance(layer, SpectralConv2d):
            largest = torch.linalg.matrix_norm((layer.weight / layer.norm()).flatten(1), 2).item()
            assert 1.0 - 1e-5 < largest < 1.1


def test_forward_passes_change_nothing(critic: PaperDiscriminator) -> None:
    images = normal((4, 3, 32, 32), rng_for(0, "data"))
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    with mock.patch.object(SpectralConv2d, "power_iterate", autospec=True) as step:
        first = critic(images).logits
        torch.autograd.backward(critic(images).logits.sum())
        last = critic(images).logits
    step.assert_not_called()
    assert torch.equal(first, last)
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())
    critic.power_iterate()
    changed = {n for n, value in critic.state_dict().items() if not torch.equal(value, before[n])}
    assert "body.0.u" in changed
    assert all(name.endswith((".u", ".v")) for name in changed)


def test_batch_norm_starts_as_the_identity_and_takes_no_draw() -> None:
    normed = models.ReLUGenerator((2,), width=8, batch_norm=True)
    bare = models.ReLUGenerator((2,), width=8, batch_norm=False)
    for made in (normed, bare):
        for parameter in made.parameters():
            parameter.data.fill_(3.0)
        initialize(made, std=0.02, rng=rng_for(0, "init"))
    norms = [layer for layer in normed.modules() if isinstance(layer, BatchNorm)]
    assert len(norms) == 4
    for norm in norms:
        assert torch.equal(norm.weight, torch.ones(8))
        assert torch.equal(norm.bias, torch.zeros(8))
    ours, theirs = ([p for p in made.parameters() if p.dim() == 2] for made in (normed, bare))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_the_unrolled_gans_networks_start_orthogonal_also_within_another() -> None:
    class Around(models.Discriminator):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(2, 6)
            self.inner = models.TanhDiscriminator((2,), width=6)
            self.head = nn.Linear(6, 1)

    around = Around()
    for made in (models.TanhGenerator((2,)), models.TanhDiscriminator((2,)), around):
        initialize(made, std=1e-3, rng=rng_for(0, "init"))
        for name, parameter in made.named_parameters():
            if parameter.dim() == 1:
                assert not parameter.any(), name
            elif made is around and not name.startswith("inner."):
                assert 0 < parameter.abs().max() < 0.01, name
            else:
                values = torch.linalg.svdvals(parameter.detach().double())
                assert torch.allclose(values, torch.full_like(values, 1.4), atol=1e-5), name
