"""Where the first number that was not finite came from."""

from typing import Any

import torch
from torch import nn

from ganstoch.diagnosis.non_finite import NonFiniteDetector


def network() -> Any:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 1))


def test_names_the_first_layer_and_iteration() -> None:
    g, d = network(), network()
    wire = NonFiniteDetector({"generator": g, "discriminator": d})
    for iteration in (1, 2, 3):
        if iteration == 2:
            with torch.no_grad():
                d[2].weight[0, 0] = torch.nan
        x = torch.ones(2, 3)
        g(x)
        d(x)
        wire.end_iteration(iteration)
    assert wire.first() == "discriminator.2, iteration 2"
    assert wire.first() == ""


def test_input_that_is_not_finite_is_named_as_such() -> None:
    d = network()
    wire = NonFiniteDetector({"discriminator": d})
    d(torch.full((2, 3), torch.inf))
    wire.end_iteration(5)
    assert wire.first() == "the input of discriminator.0, iteration 5"


def test_silent_while_all_is_finite_and_while_deaf() -> None:
    g = network()
    wire = NonFiniteDetector({"generator": g})
    g(torch.ones(2, 3))
    wire.end_iteration(1)
    assert wire.first() == ""
    with wire.deaf():
        g(torch.full((2, 3), torch.nan))
    wire.end_iteration(2)
    assert wire.first() == ""


def test_what_waits_is_bounded_and_not_forgotten() -> None:
    g = network()
    wire = NonFiniteDetector({"generator": g})
    for iteration in range(1, 1200):
        g(torch.full((2, 3), torch.nan if iteration == 7 else 1.0))
        wire.end_iteration(iteration)
    assert len(wire._waiting) < 500
    assert wire.first() == "the input of generator.0, iteration 7"
    assert wire.first() == ""


def test_large_numbers_of_half_precision_are_finite() -> None:
    layer = nn.Linear(8, 8).half()
    wire = NonFiniteDetector({"generator": layer})
    layer.weight.data.fill_(1000.0)
    layer(torch.ones(64, 8, dtype=torch.float16))  # their sum is beyond float16
    wire.end_iteration(1)
    assert wire.first() == ""


def test_removed_hooks_are_gone() -> None:
    g = network()
    wire = NonFiniteDetector({"generator": g})
    wire.remove()
    assert not any(layer._forward_hooks for layer in g.modules())
