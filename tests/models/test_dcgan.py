"""The convolutional networks, layer by layer as their papers have them."""

import pytest
import torch
from torch import nn

from ganstoch.models import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Generator,
    UnrolledDiscriminator,
    UnrolledGenerator,
)
from ganstoch.models.layers import BatchNorm, initialize
from ganstoch.rng import normal, rng_for

GENERATORS = [DCGANGenerator, UnrolledGenerator]
DISCRIMINATORS = [DCGANDiscriminator, UnrolledDiscriminator]

Kind = type[Generator | Discriminator]
# What each layer makes of a stacked image, or of a latent on the way to one.
MAPS: dict[Kind, list[tuple[int, ...]]] = {
    DCGANGenerator: [(512, 2, 2), (256, 4, 4), (128, 7, 7), (64, 14, 14), (3, 28, 28)],
    UnrolledGenerator: [(64, 4, 4), (32, 7, 7), (16, 14, 14), (8, 28, 28), (3, 28, 28)],
    DCGANDiscriminator: [(64, 14, 14), (128, 7, 7), (256, 4, 4), (512, 2, 2)],
    UnrolledDiscriminator: [(2, 14, 14), (4, 7, 7), (8, 4, 4)],
}
KERNELS: dict[Kind, list[tuple[int, int]]] = {
    DCGANGenerator: [(5, 2)] * 4,
    UnrolledGenerator: [(3, 2)] * 3 + [(3, 1)],
    DCGANDiscriminator: [(5, 2)] * 4,
    UnrolledDiscriminator: [(3, 2)] * 3,
}
NORMALIZED: dict[Kind, list[int]] = {
    DCGANGenerator: [512, 256, 128, 64],
    UnrolledGenerator: [64, 32, 16, 8],
    DCGANDiscriminator: [128, 256, 512],
    UnrolledDiscriminator: [2, 4, 8],
}


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
def test_layer_by_layer(make: Kind) -> None:
    network = make()
    is_generator = isinstance(network, Generator)
    layers = network.get_submodule("layers" if is_generator else "body")
    x = torch.zeros(2, 3, 28, 28)
    if isinstance(network, Generator):
        assert network.latent_dim == (256 if make is UnrolledGenerator else 100)
        x = torch.zeros(2, network.latent_dim)
    maps: list[tuple[int, ...]] = []
    kernels: list[tuple[int, int]] = []
    for layer in layers.children():
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kernels.append((layer.kernel_size[0], layer.stride[0]))
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Unflatten):
            maps.append(tuple(x.shape[1:]))
    assert maps == MAPS[make]
    assert kernels == KERNELS[make]
    norms = [layer for layer in layers.children() if isinstance(layer, BatchNorm)]
    assert [len(norm.weight) for norm in norms] == NORMALIZED[make]
    assert all((norm.running_mean is not None) == is_generator for norm in norms)
    slopes = [each.negative_slope for each in layers.children() if isinstance(each, nn.LeakyReLU)]
    slope = 0.3 if make is UnrolledDiscriminator else 0.2
    assert slopes == ([] if is_generator else [slope] * len(maps))


@pytest.mark.parametrize("make", GENERATORS)
@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32), (3, 28, 17)])
def test_generators_make_images_of_the_size(make: type[Generator], shape: tuple[int, ...]) -> None:
    network = make(shape, latent_dim=5, width=8)
    initialize(network, std=0.1, rng=rng_for(0, "init"))
    images = network(normal((4, 5), rng_for(0, "data")))
    assert images.shape == (4, *shape)
    assert images.abs().max() <= 1
    assert images.std() > 0.01
