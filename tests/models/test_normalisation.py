"""Batch normalisation against torch's own, and what must not change it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.models import DCGANDiscriminator, DCGANGenerator, PaperDiscriminator, ReLUGenerator
from ganstoch.models.base import couples
from ganstoch.models.layers import BatchNorm
from ganstoch.rng import normal, rng_for


def numbers(*shape: int, draw: int = 0) -> Tensor:
    return normal(shape, rng_for(0, "data", draw)).double()


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


def test_measuring_changes_nothing() -> None:
    norm = BatchNorm(5).double()
    norm(numbers(6, 5))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.eval()
    norm(7 * numbers(6, 5, draw=1))
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_untracked_takes_its_own_batchs_statistics_always() -> None:
    norm = BatchNorm(5, tracked=False).double()
    x = 3 * numbers(8, 5) + 2
    expected = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    assert torch.allclose(norm(x), expected, atol=1e-12)
    assert torch.equal(norm.eval()(x), norm.train()(x))
    assert set(norm.state_dict()) == {"weight", "bias"}


def test_one_value_a_channel_has_no_variance() -> None:
    with pytest.raises(UserError, match=r"two images or more: raise data\.m"):
        BatchNorm(5)(torch.zeros(1, 5))
    assert BatchNorm(5).eval()(torch.zeros(1, 5)).shape == (1, 5)
    assert BatchNorm(5)(torch.zeros(1, 5, 2, 2)).shape == (1, 5, 2, 2)


def test_who_couples_a_batch() -> None:
    with torch.device("meta"):
        assert couples(ReLUGenerator((2,)))
        assert couples(DCGANGenerator())
        assert couples(DCGANDiscriminator())
        assert not couples(ReLUGenerator((2,), batch_norm=False))
        assert not couples(PaperDiscriminator((3, 32, 32), width=8))
