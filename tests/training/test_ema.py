import copy
import math

import pytest
import torch
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.models import Generator
from ganstoch.models.layers import BatchNorm
from ganstoch.training.ema import EMA


class Counting(nn.Module):
    """A layer with a counter, and a constant that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("constant", torch.tensor(0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture
def live() -> Generator:
    """A generator with running statistics and a counter; all of its parameters are 1."""
    network = Generator()
    network.layers = nn.Sequential(nn.Linear(3, 4), BatchNorm(4), Counting()).double()
    return fill(network, 1.0)


def fill(network: Generator, value: float) -> Generator:
    for parameter in network.parameters():
        parameter.data.fill_(value)
    return network


def value(average: EMA) -> float:
    """The one number that all averaged parameters are."""
    everything = torch.cat([p.flatten() for p in average.parameters()])
    assert everything.max() == everything.min()
    return everything[0].item()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9999])
def test_the_first_step_copies(live: Generator, decay: float) -> None:
    average = EMA(live, decay=decay)
    fill(live, -0.1)
    assert value(average) == 1.0  # a copy, not the network itself
    average.update(live, iteration=0)
    assert value(average) == -0.1


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_ramp_in_closed_form(live: Generator, steps: int) -> None:
    """From a step at iteration 1, what is left of the start is the product of all t / (t + 10)."""
    average = EMA(live, decay=0.9999)
    average.update(live, iteration=0)
    fill(live, 3.0)
    for iteration in range(1, steps + 1):
        average.update(live, iteration=iteration)
    left = 1 / math.comb(steps + 10, 10)
    assert value(average) == pytest.approx(3.0 - 2.0 * left, rel=1e-13)


@pytest.mark.parametrize("decay", [0.75, 0.0])
def test_full_horizon_in_closed_form_statistics_included(live: Generator, decay: float) -> None:
    """Once t / (t + 10) exceeds the decay, the past counts decay to the power of the steps."""
    average = EMA(live, decay=decay)  # reached at t = 30
    with torch.no_grad():
        for name, tensor in (*live.named_parameters(), *live.named_buffers()):
            tensor.fill_(0.5 if "constant" in name else 3)
    for iteration in range(30, 37):
        average.update(live, iteration=iteration)
    left = decay**7
    assert value(average) == pytest.approx(3.0 - 2.0 * left, rel=1e-14)
    ours = {name.rpartition(".")[2]: buffer.flatten() for name, buffer in average.named_buffers()}
    expected = {"running_mean": 3 - 3 * left, "running_var": 3 - 2 * left}
    for name, number in (expected | {"seen": 3, "constant": 0.5}).items():
        assert ours[name].tolist() == pytest.approx([number] * ours[name].numel(), rel=1e-14), name
    assert not any(p.requires_grad for p in average.parameters())
    assert all(torch.equal(p, torch.full_like(p, 3.0)) for p in live.parameters())
    assert all(p.requires_grad for p in live.parameters())


@pytest.mark.parametrize("decay", [-0.1, 1.0, math.nan])
def test_decay_must_be_a_share(live: Generator, decay: float) -> None:
    with pytest.raises(UserError, match=r"model.ema_decay must be in \[0, 1\)"):
        EMA(live, decay=decay)


def test_measuring_uses_the_statistics_and_never_moves_them(live: Generator) -> None:
    average = EMA(live, decay=0.5)
    z = torch.linspace(-1, 2, 15, dtype=torch.double).view(5, 3)
    before = {name: value.clone() for name, value in average.state_dict().items()}
    expected = copy.deepcopy(live).eval()(z)
    for mode in (True, False, True):
        average.train(mode)
        assert average.training == mode
        assert not any(module.training for module in average.generator.modules())
        assert torch.equal(average(z), expected)
        assert torch.allclose(average(z[:1]), expected[:1], rtol=1e-12)  # alone as among others
    assert all(torch.equal(before[name], value) for name, value in average.state_dict().items())
    assert live.training
