"""Every example's gradient against autograd's, one example at a time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ganstoch.training.example_gradients
from ganstoch.errors import UserError
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.convolution import Form
from ganstoch.models.layers import initialize
from ganstoch.models.mlp import MaxoutDiscriminator, ReLUGenerator, TanhDiscriminator
from ganstoch.rng import rng_for
from ganstoch.training.example_gradients import collect


class Whole:
    """Keeps what it is given, products made."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[Tensor]] = {}

    def add(self, name: str, gradients: Tensor) -> None:
        self.blocks.setdefault(name, []).append(gradients)

    def add_outer(self, name: str, left: Tensor, right: Tensor) -> None:
        self.add(name, (left.unsqueeze(2) * right.unsqueeze(1)).flatten(1))


def draw(*shape: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def prepared(network: nn.Module) -> nn.Module:
    initialize(network, std=0.2, rng=rng_for(0, "init"))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return network.double()


def check(network: nn.Module, inputs: Tensor, losses: Callable[[Any], Tensor]) -> None:
    sink = Whole()
    collect(network, inputs, losses, sink)
    names = [name for name, _ in network.named_parameters()]
    assert set(sink.blocks) == set(names)
    gradients = [torch.cat(sink.blocks[name]) for name in names]
    for i in range(len(inputs)):
        loss = losses(network(inputs[i : i + 1])).sum()
        expected = torch.autograd.grad(loss, list(network.parameters()))
        for name, ours, theirs in zip(names, gradients, expected, strict=True):
            torch.testing.assert_close(ours[i], theirs.flatten(), msg=f"{name} of {i}")


def of_output(output: Any) -> Tensor:
    return nn.functional.softplus(-output.logits)


def of_images(images: Tensor) -> Tensor:
    return (images.flatten(1) * draw(len(images), images[0].numel())[:1]).sum(1).sin()


@pytest.mark.parametrize("room", [1, 10**5, 10**9])
def test_the_papers_networks(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With little room a layer's gradients come one by one.
    monkeypatch.setattr(ganstoch.training.example_gradients, "BLOCK_BYTES", room)
    check(prepared(PaperDiscriminator((3, 32, 32), width=8)), draw(3, 3, 32, 32), of_output)
    generator = prepared(PaperGenerator((3, 32, 32), width=8, latent_dim=4))
    check(generator, draw(3, 4), of_images)


def test_other_forms_of_convolution_change_nothing(use_form: Callable[[Form], None]) -> None:
    use_form("taps")
    network = prepared(PaperDiscriminator((1, 32, 32), width=8))
    check(network, draw(2, 1, 32, 32), of_output)


def test_networks_of_points() -> None:
    check(prepared(TanhDiscriminator((2,), width=5)), draw(4, 2), of_output)
    check(prepared(MaxoutDiscriminator((2,), width=4, depth=2, pieces=3)), draw(4, 2), of_output)
    generator = ReLUGenerator((2,), latent_dim=3, width=5, depth=2, batch_norm=False)
    check(prepared(generator), draw(4, 3), of_images)


def test_layers_without_a_rule_of_their_own() -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False),
        nn.LeakyReLU(0.1, inplace=True),
        nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1),
        nn.PReLU(),
        nn.Linear(8, 3),  # along the last axis of maps
    ).double()
    check(network, draw(3, 2, 4, 4), of_images)


def test_groups_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sink = prepared(PaperDiscriminator((3, 32, 32), width=8)), Whole()
    monkeypatch.setattr(ganstoch.training.example_gradients, "BLOCK_BYTES", 1)
    collect(network, draw(6, 3, 32, 32), of_output, sink, group=3)
    assert {len(block) for block in sink.blocks["body.0.weight"]} == {3}


def test_nothing_of_the_network_changes() -> None:
    network = prepared(PaperDiscriminator((3, 32, 32), width=8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rng, inputs = torch.get_rng_state(), draw(2, 3, 32, 32)
    copy = inputs.clone()
    with torch.no_grad():  # as a callback may be called
        collect(network, inputs, of_output, Whole())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(inputs, copy)
    assert not any(module._forward_hooks for module in network.modules())


class Aside(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 2))
        self.shift = nn.Parameter(torch.zeros(2))


LAYER = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("network", "named"),
    [(nn.Sequential(LAYER, LAYER), "Sequential: layer 0"), (Aside(), "Aside: layer itself")],
)
def test_networks_that_cannot_be_taken_apart_are_refused(network: nn.Module, named: str) -> None:
    with pytest.raises(UserError, match=named):
        collect(network, torch.zeros(3, 2), of_images, Whole())
    assert all(p.requires_grad for p in network.parameters())
