from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch import models
from ganstoch.errors import UserError
from ganstoch.models import TanhDiscriminator, TanhGenerator
from ganstoch.models.layers import BatchNorm
from ganstoch.remedies import DiscriminatorBatchNorm, MinibatchDiscrimination
from ganstoch.remedies.base import StepInfo
from ganstoch.training.gan import GAN
from ganstoch.types import Shape


def layers(network: models.Discriminator) -> list[str]:
    assert isinstance(network.body, nn.Sequential)
    return [type(layer).__name__ for layer in network.body]


NORMALIZED: dict[str, tuple[Any, Shape, list[str]]] = {
    "paper": (
        partial(models.PaperDiscriminator, width=8),
        (3, 32, 32),
        ["SpectralConv2d", "LeakyReLU", *3 * ["SpectralConv2d", "BatchNorm", "LeakyReLU"]],
    ),
    "tanh": (
        partial(TanhDiscriminator, width=6, depth=3),
        (2,),
        ["Flatten", "Linear", "Tanh", *2 * ["Linear", "BatchNorm", "Tanh"]],
    ),
    "maxout": (
        partial(models.MaxoutDiscriminator, width=6),
        (2,),
        ["Flatten", "LinearMaxout", *2 * ["LinearMaxout", "BatchNorm"]],
    ),
}


@pytest.mark.parametrize("name", NORMALIZED)
def test_follows_every_hidden_layer_but_the_first(name: str) -> None:
    make, shape, expected = NORMALIZED[name]
    network = DiscriminatorBatchNorm().wrap_networks(TanhGenerator, make)[1](shape)
    assert layers(network) == expected
    norms = [layer for layer in network.modules() if isinstance(layer, BatchNorm)]
    assert all(norm.running_mean is None and norm.running_var is None for norm in norms)
    assert network(torch.rand(4, *shape)).features.shape == (4, network.head_features)


@pytest.mark.parametrize("kind", [models.DCGANDiscriminator, models.UnrolledDiscriminator])
@pytest.mark.parametrize("apart", [True, False])
def test_a_network_that_has_it_keeps_its_own(kind: Any, apart: bool) -> None:
    remedy, shape = DiscriminatorBatchNorm(apart=apart), (3, 28, 28)
    network = remedy.wrap_networks(TanhGenerator, partial(kind, width=4))[1](shape)
    assert layers(network) == layers(kind(width=4))
    assert network.separate_passes is apart


@pytest.mark.parametrize("apart", [True, False])
def test_statistics_of_whom(tiny: SimpleNamespace, apart: bool) -> None:
    gan = tiny.make(DiscriminatorBatchNorm(apart=apart)).double()
    critic = gan.discriminator
    ((part,),) = tiny.draw(gan, 0)
    fakes = gan.generator(part.latents).detach()
    w = dict(critic.named_parameters())
    for parameter in w.values():
        parameter.data += 0.1 * torch.linspace(-1, 1, parameter.numel()).view_as(parameter)

    def logits(x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ w["body.1.weight"].T + w["body.1.bias"])
        sums = hidden @ w["body.3.weight"].T + w["body.3.bias"]
        mean = sums.mean(0)
        variance = (sums - mean).square().mean(0)
        normal = (sums - mean) / (variance + 1e-5).sqrt() * w["body.4.weight"] + w["body.4.bias"]
        result: Tensor = (torch.tanh(normal) @ w["head.weight"].T + w["head.bias"]).flatten()
        return result

    if apart:
        real, fake = logits(part.real), logits(fakes)
    else:
        real, fake = logits(torch.cat([part.real, fakes])).chunk(2)
    expected = F.softplus(-real).mean() + F.softplus(fake).mean()
    scores = gan.discriminate(critic, part, fakes, info=StepInfo(0, 0))
    loss = gan.discriminator_loss(scores)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    of_g = gan.generator_loss(critic, part, fakes, info=StepInfo(0, 0))
    assert of_g.item() == pytest.approx(F.softplus(-logits(fakes)).mean().item(), abs=1e-12)


def test_refusals(tiny: SimpleNamespace) -> None:
    class NoChain(TanhDiscriminator):
        def __init__(self, shape: Shape) -> None:
            super().__init__(shape, width=4)
            self.body = nn.Flatten()

    with pytest.raises(UserError, match="NoChain"):
        GAN(TanhGenerator, NoChain, remedies=[DiscriminatorBatchNorm()], shape=(2,))
    with pytest.raises(UserError, match=r"MinibatchDiscrimination.*apart"):
        tiny.make(DiscriminatorBatchNorm(apart=False), MinibatchDiscrimination(kernels=2, dims=2))
