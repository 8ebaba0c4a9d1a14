"""Each layer against its stock counterpart."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from ganstoch.errors import UserError
from ganstoch.models import DCGANDiscriminator, DCGANGenerator, PaperDiscriminator, ReLUGenerator
from ganstoch.models.layers import (
    BatchNorm,
    LatentConv,
    SpectralConv2d,
    UpsampleConv,
    needs_full_batch,
)
from ganstoch.rng import normal, rng_for


def numbers(*shape: int, draw: int = 0) -> Tensor:
    return normal(shape, rng_for(0, "init", draw)).double()


def fill(*modules: nn.Module) -> None:
    """The same random parameters for all."""
    for module in modules:
        for i, parameter in enumerate(module.parameters()):
            parameter.data = numbers(*parameter.shape, draw=i)


def test_latent_conv_is_a_convolution_of_a_single_pixel() -> None:
    ours, stock = LatentConv(5, 7), nn.Conv2d(5, 7, 4, stride=1, padding=3).double()
    fill(ours)
    with torch.no_grad():
        stock.bias.copy_(ours.bias)
        # Output (i, j) of channel o, row 16 o + 4 i + j of the matrix, meets tap (3 - i, 3 - j).
        for o, i, j in itertools.product(range(7), range(4), range(4)):
            stock.weight[o, :, 3 - i, 3 - j] = ours.weight[16 * o + 4 * i + j]
    assert torch.equal(ours.kernel, stock.weight)
    z = numbers(3, 5, draw=8).requires_grad_()
    out, expected = ours(z), stock(z[:, :, None, None])
    assert out.shape == (3, 7, 4, 4)
    assert (out - expected).abs().max() < 1e-12
    direction = numbers(3, 7, 4, 4, draw=9)
    one = torch.autograd.grad((out * direction).sum(), [z, ours.weight, ours.bias])
    other = torch.autograd.grad((expected * direction).sum(), [z, stock.weight, stock.bias])
    for o, i, j in itertools.product(range(7), range(4), range(4)):
        assert torch.allclose(one[1][16 * o + 4 * i + j], other[1][o, :, 3 - i, 3 - j], atol=1e-12)
    assert torch.allclose(one[0], other[0], atol=1e-12)
    assert torch.allclose(one[2], other[2], atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 5)])
def test_upsample_conv_is_upsampling_and_a_convolution(size: tuple[int, int]) -> None:
    ours = UpsampleConv(5, 7).double()
    stock = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(5, 7, 3, padding=1))
    fill(ours, stock)
    x = numbers(2, 5, *size, draw=8).requires_grad_()
    out, expected = ours(x), stock(x)
    assert out.shape == expected.shape == (2, 7, 2 * size[0], 2 * size[1])
    assert list(ours.state_dict()) == ["weight", "bias"]  # no constant in a checkpoint
    assert (out - expected).abs().max() < 1e-12
    direction = numbers(*out.shape, draw=9)
    one = torch.autograd.grad((out * direction).sum(), [x, *ours.parameters()])
    other = torch.autograd.grad((expected * direction).sum(), [x, *stock.parameters()])
    for here, there in zip(one, other, strict=True):
        assert (here - there).abs().max() < 1e-12 * there.abs().max()


@pytest.fixture
def layer() -> SpectralConv2d:
    """3 channels to 4, a matrix of 4 x 75, its start vector drawn but not iterated."""
    layer = SpectralConv2d(3, 4, 5, stride=2, padding=2).double()
    fill(layer)
    layer.u = F.normalize(numbers(4, draw=5), dim=0)
    layer.v = F.normalize(layer.weight.detach().flatten(1).T @ layer.u, dim=0)
    return layer


def test_power_iteration_equals_torch(layer: SpectralConv2d) -> None:
    stock = nn.Conv2d(3, 4, 5, stride=2, padding=2).double()
    stock.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    parametrizations.spectral_norm(stock, "weight", n_power_iterations=1)
    theirs = stock.parametrizations["weight"][0]
    theirs._u, theirs._v = layer.u.clone(), layer.v.clone()
    original = stock.parametrizations["weight"].original
    x = numbers(2, 3, 8, 8, draw=6)
    direction = numbers(2, 4, 4, 4, draw=7)
    for _ in range(4):
        layer.power_iterate()
        theirs.train()
        assert stock.weight.shape == layer.weight.shape  # reading it is what makes torch iterate
        assert (theirs._u - layer.u).abs().max() < 1e-14
        # Torch stops half a step later, at the v of our next iteration.
        ours_next = F.normalize(layer.weight.detach().flatten(1).T @ layer.u, dim=0)
        assert (theirs._v - ours_next).abs().max() < 1e-14
        following = theirs._v
        theirs.eval()
        theirs._v = layer.v.clone()
        out, expected = layer(x), stock(x)
        assert (out - expected).abs().max() < 1e-12
        (one,) = torch.autograd.grad((out * direction).sum(), [layer.weight])
        (other,) = torch.autograd.grad((expected * direction).sum(), [original])
        assert (one - other).abs().max() < 1e-12
        theirs._v = following


def test_converges_to_the_spectral_norm(layer: SpectralConv2d) -> None:
    matrix = layer.weight.detach().flatten(1)
    estimates = []
    for _ in range(500):
        layer.power_iterate()
        estimates.append(torch.dot(layer.u, matrix @ layer.v).item())
    truth = torch.linalg.matrix_norm(matrix, 2).item()
    assert estimates[-1] == pytest.approx(truth, rel=1e-12)
    assert max(estimates) <= truth * (1 + 1e-12)  # from below
    largest = torch.linalg.matrix_norm((layer.weight / layer.norm()).flatten(1), 2)
    assert largest.item() == pytest.approx(1.0, rel=1e-12)


def test_restart_draws_from_its_generator_alone(layer: SpectralConv2d) -> None:
    torch.manual_seed(0)
    layer.restart(rng_for(0, "init"))
    first = layer.u.clone()
    torch.manual_seed(1)
    layer.restart(rng_for(0, "init"))
    assert torch.equal(layer.u, first)
    matrix = layer.weight.detach().flatten(1)
    start = F.normalize(torch.randn(4, generator=rng_for(0, "init")), dim=0).double()
    for _ in range(15):
        start = F.normalize(matrix @ matrix.T @ start, dim=0)
    assert (layer.u - start).abs().max() < 1e-6


@pytest.mark.parametrize("count", [1, 500])
def test_the_norm_divides_weight_or_sums_alike(layer: SpectralConv2d, count: int) -> None:
    """One image has fewer sums than the layer has weights, 500 have more."""
    assert layer.bias is not None
    x = numbers(count, 3, 5, 5, draw=8).requires_grad_()
    out = layer(x)
    expected = F.conv2d(x, layer.weight / layer.norm(), layer.bias, stride=2, padding=2)
    assert (out - expected).abs().max() < 1e-12
    direction = numbers(*out.shape, draw=9)
    inputs = [x, layer.weight, layer.bias]
    one = torch.autograd.grad((out * direction).sum(), inputs)
    other = torch.autograd.grad((expected * direction).sum(), inputs)
    for here, there in zip(one, other, strict=True):
        assert (here - there).abs().max() < 1e-12 * max(1.0, there.abs().max().item())


@pytest.mark.parametrize("size", [(), (3, 4)])
def test_equals_torchs_own(size: tuple[int, ...]) -> None:
    ours = BatchNorm(5, momentum=0.2, epsilon=1e-3).double()
    stock = (nn.BatchNorm2d if size else nn.BatchNorm1d)(5, momentum=0.2, eps=1e-3).double()
    for module in (ours, stock):
        module.weight.data = numbers(5, draw=1)
        module.bias.data = numbers(5, draw=2)
    for draw in range(3):
        x = 3 * numbers(6, 5, *size, draw=draw) + 1
        assert torch.equal(ours(x), stock(x))
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(ours, name), getattr(stock, name))
    ours.eval()
    stock.eval()
    assert torch.equal(ours(x), stock(x))


def test_untracked_takes_its_own_batchs_statistics_always() -> None:
    norm = BatchNorm(5, tracked=False).double()
    x = 3 * numbers(8, 5) + 2
    expected = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    assert torch.allclose(norm(x), expected, atol=1e-12)
    assert torch.equal(norm.eval()(x), norm.train()(x))
    assert set(norm.state_dict()) == {"weight", "bias"}


def test_who_couples_a_batch() -> None:
    with torch.device("meta"):
        assert needs_full_batch(ReLUGenerator((2,)))
        assert needs_full_batch(DCGANGenerator())
        assert needs_full_batch(DCGANDiscriminator())
        assert not needs_full_batch(ReLUGenerator((2,), batch_norm=False))
        assert not needs_full_batch(PaperDiscriminator((3, 32, 32), width=8))


def test_one_value_a_channel_has_no_variance() -> None:
    with pytest.raises(UserError, match=r"data\.m"):
        BatchNorm(5)(torch.zeros(1, 5))
    assert BatchNorm(5).eval()(torch.zeros(1, 5)).shape == (1, 5)
    assert BatchNorm(5)(torch.zeros(1, 5, 2, 2)).shape == (1, 5, 2, 2)
