"""Tables 2 and 3 of Yazici et al. 2020, row by row, and the networks against stock layers."""

import torch
from torch import Tensor, nn

from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.layers import LatentConv, SpectralConv2d, UpsampleConv

# Columns: what the row is, its activation, its output's shape, its parameters as in x out x taps.
TABLE_2 = [
    ("conv 4x4", nn.LeakyReLU, (1024, 4, 4), 512 * 1024 * 16 + 1024),
    ("upsample, conv 3x3", nn.LeakyReLU, (512, 8, 8), 1024 * 512 * 9 + 512),
    ("upsample, conv 3x3", nn.LeakyReLU, (256, 16, 16), 512 * 256 * 9 + 256),
    ("upsample, conv 3x3", nn.Tanh, (3, 32, 32), 256 * 3 * 9 + 3),
]
TABLE_3 = [
    ((5, 5), (2, 2), (2, 2), nn.LeakyReLU, (128, 16, 16), 3 * 128 * 25 + 128),
    ((5, 5), (2, 2), (2, 2), nn.LeakyReLU, (256, 8, 8), 128 * 256 * 25 + 256),
    ((5, 5), (2, 2), (2, 2), nn.LeakyReLU, (512, 4, 4), 256 * 512 * 25 + 512),
    ((5, 5), (1, 1), (2, 2), nn.LeakyReLU, (1024, 4, 4), 512 * 1024 * 25 + 1024),
    ((4, 4), (1, 1), (0, 0), None, (1, 1, 1), 1024 * 1 * 16 + 1),
]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def walk(network: nn.Module, input: Tensor) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """The layers in the order in which they are reached, with their outputs' shapes."""
    seen: list[tuple[nn.Module, tuple[int, ...]]] = []

    def record(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((module, tuple(output.shape)))

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(record)
    network(input)
    return list(seen)


def test_table_2_layer_by_layer() -> None:
    with torch.device("meta"):  # shapes without the arithmetic
        network = PaperGenerator((3, 32, 32))
        seen = walk(network, torch.empty(1, 512))
    assert len(seen) == 2 * len(TABLE_2)
    for i, (what, activation, shape, parameters) in enumerate(TABLE_2):
        (layer, out), (after, activated) = seen[2 * i], seen[2 * i + 1]
        assert type(layer) is (LatentConv if what == "conv 4x4" else UpsampleConv)
        assert count(layer) == parameters
        assert out == activated == (1, *shape)
        assert type(after) is activation
        assert getattr(after, "negative_slope", 0.2) == 0.2
    assert count(network) == 8_389_632 + 4_719_104 + 1_179_904 + 6_915 == 14_295_555
    assert network.latent_dim == 512


def test_table_3_layer_by_layer() -> None:
    with torch.device("meta"):
        network = PaperDiscriminator((3, 32, 32))
        seen = walk(network, torch.empty(1, 3, 32, 32))
        output = network(torch.empty(5, 3, 32, 32))
    layers = [(layer, out) for layer, out in seen if count(layer)]
    activations = [(layer, out) for layer, out in seen if not count(layer)]
    assert len(layers) == len(TABLE_3)
    assert len(activations) == len(TABLE_3) - 1
    for i, (kernel, stride, padding, activation, shape, parameters) in enumerate(TABLE_3):
        layer, out = layers[i]
        assert isinstance(layer, SpectralConv2d)  # spectral normalization on every layer
        assert (layer.kernel_size, layer.stride, layer.padding) == (kernel, stride, padding)
        assert (layer.dilation, layer.groups, layer.padding_mode) == ((1, 1), 1, "zeros")
        assert count(layer) == parameters
        assert out == (1, *shape)
        if activation is not None:
            assert type(activations[i][0]) is activation
            assert activations[i][0].negative_slope == 0.2
            assert activations[i][1] == out
    assert count(network) == 9_728 + 819_456 + 3_277_312 + 13_108_224 + 16_385 == 17_231_105
    assert output.logits.shape == (5,)
    assert output.features.shape == (5, 16 * 1024)
