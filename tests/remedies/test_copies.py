from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from ganstoch.remedies.copies import Copy


def test_keeps_what_was_and_gives_it_back() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    x, kept = torch.linspace(-1, 1, 12).view(4, 3), Copy(network.state_dict())
    before = network.eval()(x)
    with torch.no_grad():
        for value in (*network.parameters(), network[1].running_mean):
            value += 1.0
    assert not torch.allclose(network(x), before)
    assert torch.equal(functional_call(network, kept.values(), (x,)), before)
    assert kept.values().keys() == network.state_dict().keys()
    now = network(x)
    kept.take(network.state_dict())
    assert torch.equal(functional_call(network, kept.values(), (x,)), now)
    kept.take({"0.bias": torch.zeros(2)})
    network.load_state_dict(kept.values())
    assert torch.equal(network[0].bias, torch.zeros(2))
