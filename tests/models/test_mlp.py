"""The fully connected networks against their definitions, written down small."""

from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from ganstoch import models
from ganstoch.models import ReLUGenerator, TanhDiscriminator
from ganstoch.models.layers import initialize
from ganstoch.models.mlp import LinearMaxout
from ganstoch.rng import normal, rng_for

Network = TypeVar("Network", bound=nn.Module)


def numbers(*shape: int, draw: int = 0) -> Tensor:
    return normal(shape, rng_for(0, "data", draw)).double()


def start(network: Network) -> Network:
    initialize(network, std=0.3, rng=rng_for(0, "init"))
    return network.double()


@pytest.mark.parametrize("shape", [(2,), (1200,), (6, 28, 28)])
def test_they_serve_points_and_images(shape: tuple[int, ...]) -> None:
    generators = (ReLUGenerator, models.TanhGenerator)
    for generator in (start(kind(shape, latent_dim=7, width=8)) for kind in generators):
        last = [layer for layer in generator.modules() if isinstance(layer, nn.Linear)][-1]
        last.weight.data *= 100
        examples = generator(numbers(5, 7))
        assert generator.latent_dim == 7
        assert examples.shape == (5, *shape)
        assert (examples.abs().max() <= 1) == (len(shape) == 3)  # points are unbounded
    x, discriminators = numbers(5, *shape), (models.MaxoutDiscriminator, TanhDiscriminator)
    for discriminator in (start(kind(shape, width=8)) for kind in discriminators):
        output = discriminator(x)
        assert output.features.shape == (5, discriminator.head_features) == (5, 8)
        assert torch.equal(discriminator.body(x), output.features)
        assert torch.equal(discriminator.head(output.features).flatten(), output.logits)


HIDDEN = 2 * 400 + 3 * 400 * 400  # weights without bias
MAXOUT = (2 * 1000 + 1000) + 2 * (200 * 1000 + 1000) + (200 + 1)  # five pieces


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (ReLUGenerator((2,)), HIDDEN + 4 * 2 * 400 + (400 * 2 + 2)),
        (ReLUGenerator((2,), batch_norm=False), HIDDEN + 4 * 400 + (400 * 2 + 2)),
        (models.MaxoutDiscriminator((2,)), MAXOUT),
        (models.TanhGenerator((2,)), 257 * 128 + 129 * 128 + 129 * 2),
        (TanhDiscriminator((2,)), 3 * 128 + 129 * 128 + 129),
    ],
)
def test_sizes_are_the_papers(network: nn.Module, count: int) -> None:
    assert sum(p.numel() for p in network.parameters()) == count


def test_relu_generator_equals_stock_layers() -> None:
    ours = start(ReLUGenerator((3,), latent_dim=4, width=6, depth=2))
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
    assert torch.allclose(ours.eval()(z), stock.eval()(z), atol=1e-12)


def test_tanh_networks_equal_their_formula() -> None:
    d = start(TanhDiscriminator((2,), width=5))
    a, of_a, b, of_b, c, of_c = d.parameters()
    x = numbers(4, 2)
    hidden = torch.tanh(torch.tanh(x @ a.T + of_a) @ b.T + of_b)
    assert torch.allclose(d(x).logits, hidden @ c[0] + of_c, atol=1e-12)


def test_maxout_is_the_largest_piece_and_has_its_gradient() -> None:
    """Unit j is the largest of the rows j, j + 3, ..., j + 12 of the matrix."""
    layer = start(LinearMaxout(4, 3, pieces=5))
    x, direction = numbers(50, 4).requires_grad_(), numbers(50, 3, draw=1)
    every = layer.linear(x)
    by_hand = torch.stack([every[:, j::3].amax(1) for j in range(3)], dim=1)
    assert torch.allclose(layer(x), by_hand, rtol=0, atol=1e-14)
    inputs = [x, *layer.parameters()]
    outs = (layer(x), by_hand)
    ours, theirs = (torch.autograd.grad((out * direction).sum(), inputs) for out in outs)
    for here, there in zip(ours, theirs, strict=True):
        assert torch.allclose(here, there, atol=1e-12)
        assert here.abs().sum() > 0
    assert torch.autograd.gradgradcheck(lambda *x: layer(*x).square(), (x[:5],))  # for penalties


def test_pieces_that_tie_share_the_gradient() -> None:
    layer = LinearMaxout(1, 1, pieces=4).double()
    layer.linear.weight.data = torch.tensor([[2.0], [1.0], [2.0], [-3.0]]).double()
    layer.linear.bias.data.zero_()
    out = layer(torch.tensor([[3.0]]).double())
    assert out.item() == 6.0
    (slope,) = torch.autograd.grad(out, layer.linear.weight)
    assert slope.flatten().tolist() == [1.5, 0.0, 1.5, 0.0]
