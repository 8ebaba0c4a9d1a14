"""The fully connected networks against their definitions, written down small."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganstoch.models import MaxoutDiscriminator, ReLUGenerator, TanhDiscriminator, TanhGenerator
from ganstoch.models.layers import initialize
from ganstoch.models.mlp import LinearMaxout
from ganstoch.rng import normal, rng_for


def numbers(*shape: int, draw: int = 0) -> Tensor:
    return normal(shape, rng_for(0, "data", draw)).double()


def start(network: nn.Module) -> nn.Module:
    initialize(network, std=0.3, rng=rng_for(0, "init"))
    return network.double()


@pytest.mark.parametrize("shape", [(2,), (1200,), (6, 28, 28)])
def test_they_serve_points_and_images(shape: tuple[int, ...]) -> None:
    for generator in (ReLUGenerator, TanhGenerator):
        network = start(generator(shape, latent_dim=7, width=8))
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        last.weight.data *= 100
        examples = network(numbers(5, 7))
        assert network.latent_dim == 7
        assert examples.shape == (5, *shape)
        assert (examples.abs().max() <= 1) == (len(shape) == 3)  # points are unbounded
    for discriminator in (MaxoutDiscriminator, TanhDiscriminator):
        network, x = start(discriminator(shape, width=8)), numbers(5, *shape)
        output = network(x)
        assert output.logits.shape == (5,)
        assert output.features.shape == (5, network.head_features) == (5, 8)
        assert torch.equal(network.head(network.body(x)).flatten(), output.logits)
        assert torch.equal(network.body(x), output.features)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_default_sizes_are_the_papers() -> None:
    """Weights without bias, and scale and shift of batch norm; maxout's five pieces."""
    hidden = 2 * 400 + 3 * 400 * 400
    assert count(ReLUGenerator((2,))) == hidden + 4 * 2 * 400 + (400 * 2 + 2)
    assert count(ReLUGenerator((2,), batch_norm=False)) == hidden + 4 * 400 + (400 * 2 + 2)
    maxout = (2 * 1000 + 1000) + 2 * (200 * 1000 + 1000) + (200 + 1)
    assert count(MaxoutDiscriminator((2,))) == maxout
    assert count(TanhGenerator((2,))) == 257 * 128 + 129 * 128 + 129 * 2
    assert count(TanhDiscriminator((2,))) == 3 * 128 + 129 * 128 + 129


def test_relu_generator_equals_stock_layers() -> None:
    ours = ReLUGenerator((3,), latent_dim=4, width=6, depth=2)
    start(ours)
    stock = nn.Sequential(
        nn.Linear(4, 6, bias=False),
        nn.BatchNorm1d(6, eps=1e-4, momentum=0.05),
        nn.ReLU(),
        nn.Linear(6, 6, bias=False),
        nn.BatchNorm1d(6, eps=1e-4, momentum=0.05),
        nn.ReLU(),
        nn.Linear(6, 3),
    ).double()
    with torch.no_grad():
        for here, there in zip(ours.parameters(), stock.parameters(), strict=True):
            there.copy_(here)
    for draw in range(3):
        z = numbers(9, 4, draw=draw)
        assert torch.allclose(ours(z), stock(z), atol=1e-12)
    ours.eval()
    stock.eval()
    assert torch.allclose(ours(z), stock(z), atol=1e-12)


def test_tanh_networks_equal_their_formula() -> None:
    d = start(TanhDiscriminator((2,), width=5))
    a, _, b, _ = d.body[1:]
    x = numbers(4, 2)
    hidden = torch.tanh(torch.tanh(x @ a.weight.T + a.bias) @ b.weight.T + b.bias)
    expected = hidden @ d.head.weight[0] + d.head.bias
    assert torch.allclose(d(x).logits, expected, atol=1e-12)


def by_hand(layer: LinearMaxout, x: Tensor) -> Tensor:
    """Unit j is the largest of the rows j, j + 3, ..., j + 12 of the matrix."""
    every = x @ layer.linear.weight.T + layer.linear.bias
    return torch.stack([every[:, j::3].amax(1) for j in range(3)], dim=1)


def test_maxout_is_the_largest_piece_and_has_its_gradient() -> None:
    layer = start(LinearMaxout(4, 3, pieces=5))
    x, direction = numbers(50, 4).requires_grad_(), numbers(50, 3, draw=1)
    assert torch.allclose(layer(x), by_hand(layer, x), rtol=0, atol=1e-14)
    inputs = [x, layer.linear.weight, layer.linear.bias]
    ours = torch.autograd.grad((layer(x) * direction).sum(), inputs)
    theirs = torch.autograd.grad((by_hand(layer, x) * direction).sum(), inputs)
    for here, there in zip(ours, theirs, strict=True):
        assert torch.allclose(here, there, atol=1e-12)
        assert here.abs().sum() > 0


def test_pieces_that_tie_share_the_gradient() -> None:
    layer = LinearMaxout(1, 1, pieces=4).double()
    layer.linear.weight.data = torch.tensor([[2.0], [1.0], [2.0], [-3.0]]).double()
    layer.linear.bias.data.zero_()
    out = layer(torch.tensor([[3.0]]).double())
    assert out.item() == 6.0
    out.backward()
    assert layer.linear.weight.grad.flatten().tolist() == [1.5, 0.0, 1.5, 0.0]


def test_default_start_of_the_unrolled_gans_networks_is_orthogonal() -> None:
    for network in (TanhGenerator((2,)), TanhDiscriminator((2,))):
        initialize(network, std=0.02, rng=rng_for(0, "init"))
        matrices = [p for p in network.parameters() if p.dim() == 2]
        assert len(matrices) == 3
        for matrix in matrices:
            values = torch.linalg.svdvals(matrix.detach().double())
            assert torch.allclose(values, torch.full_like(values, 1.4), atol=1e-5)
        assert not any(p.any() for p in network.parameters() if p.dim() == 1)
