"""Each layer against its stock counterpart."""

import itertools
from typing import Any

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


def slopes(out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    """Gradients along one direction, the same for outputs of one shape."""
    return torch.autograd.grad((out * numbers(*out.shape, draw=9)).sum(), inputs)


def assert_close(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> None:
    for here, there in zip(one, other, strict=True):
        assert (here - there).abs().max() < 1e-12 * max(1.0, there.abs().max().item())


def test_latent_conv_is_a_convolution_of_a_single_pixel() -> None:
    def kernel(matrix: Tensor) -> Tensor:
        """Output (i, j) of channel o, row 16 o + 4 i + j of the matrix, meets tap (3-i, 3-j)."""
        kernel = torch.empty(7, 5, 4, 4, dtype=torch.float64)
        for o, i, j in itertools.product(range(7), range(4), range(4)):
            kernel[o, :, 3 - i, 3 - j] = matrix[16 * o + 4 * i + j]
        return kernel

    ours = LatentConv(5, 7)
    fill(ours)
    weight = kernel(ours.weight.detach()).requires_grad_()
    assert torch.equal(ours.kernel, weight)
    z = numbers(3, 5, draw=8).requires_grad_()
    out, expected = ours(z), F.conv2d(z[:, :, None, None], weight, ours.bias, padding=3)
    of_z, of_weight, of_bias = slopes(out, z, ours.weight, ours.bias)
    theirs = slopes(expected, z, weight, ours.bias)
    assert_close((out, of_z, kernel(of_weight), of_bias), (expected, *theirs))


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 5)])
def test_upsample_conv_is_upsampling_and_a_convolution(size: tuple[int, int]) -> None:
    ours = UpsampleConv(5, 7).double()
    stock = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(5, 7, 3, padding=1))
    fill(ours, stock)
    x = numbers(2, 5, *size, draw=8).requires_grad_()
    out, expected = ours(x), stock(x)
    assert out.shape == (2, 7, 2 * size[0], 2 * size[1])
    assert list(ours.state_dict()) == ["weight", "bias"]  # no constant in a checkpoint
    results = slopes(out, x, *ours.parameters()), slopes(expected, x, *stock.parameters())
    assert_close((out, *results[0]), (expected, *results[1]))


@pytest.fixture
def layer() -> SpectralConv2d:
    """3 channels to 4, a matrix of 4 x 75, its start vector drawn but not iterated."""
    layer = SpectralConv2d(3, 4, 5, stride=2, padding=2).double()
    fill(layer)
    layer.u = F.normalize(numbers(4, draw=5), dim=0)
    layer.v = F.normalize(layer.weight.detach().flatten(1).T @ layer.u, dim=0)
    return layer


def test_power_iteration_equals_torch(layer: SpectralConv2d) -> None:
    stock: Any = nn.Conv2d(3, 4, 5, stride=2, padding=2).double()
    stock.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    parametrizations.spectral_norm(stock, "weight", n_power_iterations=1)
    theirs = stock.parametrizations["weight"][0]
    theirs._u, theirs._v = layer.u.clone(), layer.v.clone()
    original = stock.parametrizations["weight"].original
    x = numbers(2, 3, 8, 8, draw=6)
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
        results = slopes(out, layer.weight), slopes(expected, original)
        assert_close((out, *results[0]), (expected, *results[1]))
        theirs._v = following


def test_restart_draws_and_iterates_fifteen_times(layer: SpectralConv2d) -> None:
    layer.restart(rng_for(0, "init"))
    matrix = layer.weight.detach().flatten(1)
    start = F.normalize(torch.randn(4, generator=rng_for(0, "init")), dim=0).double()
    for _ in range(15):
        start = F.normalize(matrix @ matrix.T @ start, dim=0)
    assert (layer.u - start).abs().max() < 1e-6
    largest = torch.linalg.matrix_norm(matrix / layer.norm().item(), 2).item()
    assert 1.0 <= largest < 1.01  # from below


@pytest.mark.parametrize("count", [1, 500])
def test_the_norm_divides_weight_or_sums_alike(layer: SpectralConv2d, count: int) -> None:
    x = numbers(count, 3, 5, 5, draw=8).requires_grad_()
    inputs = (x, layer.weight, layer.bias)
    out = layer(x)
    expected = F.conv2d(x, layer.weight / layer.norm(), layer.bias, stride=2, padding=2)
    assert_close((out, *slopes(out, *inputs)), (expected, *slopes(expected, *inputs)))


@pytest.mark.parametrize("size", [(), (3, 4)])
def test_batch_norm_equals_torchs_own(size: tuple[int, ...]) -> None:
    ours = BatchNorm(5, momentum=0.2, epsilon=1e-3).double()
    stock = (nn.BatchNorm2d if size else nn.BatchNorm1d)(5, momentum=0.2, eps=1e-3).double()
    fill(ours, stock)
    for draw in range(3):
        x = 3 * numbers(6, 5, *size, draw=draw) + 1
        assert torch.equal(ours(x), stock(x))
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(ours, name), getattr(stock, name))
    assert torch.equal(ours.eval()(x), stock.eval()(x))


def test_untracked_batch_norm_takes_its_own_batchs_statistics_always() -> None:
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
