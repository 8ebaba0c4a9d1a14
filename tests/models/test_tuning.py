"""How the forms of a network's convolutions are chosen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganstoch.errors import UserError
from ganstoch.models import PaperDiscriminator, PaperGenerator, tuning
from ganstoch.models.convolution import Forms
from ganstoch.models.tuning import choose_forms, forms_of, set_forms
from ganstoch.rng import rng_for

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def network(width: int = 16) -> PaperDiscriminator:
    from ganstoch.models.base import initialise

    made = PaperDiscriminator((3, 32, 32), width=width)
    initialise(made, std=0.1, rng=rng_for(0, "init"))
    return made


def test_the_rule_is_the_librarys_way_on_a_gpu_and_for_narrow_layers() -> None:
    with torch.device("meta"):
        wide, narrow = (PaperDiscriminator((3, 32, 32), width=w) for w in (1024, 64))
    for made, device in ((wide, CUDA), (narrow, CPU)):
        choose_forms(made, pytest.fail, device=device)
        assert set(forms_of(made).values()) == {"direct/direct/direct"}


def test_the_rule_on_a_cpu_at_the_papers_width() -> None:
    with torch.device("meta"):
        d, g = PaperDiscriminator((3, 32, 32)), PaperGenerator((3, 32, 32))
    for made in (d, g):
        choose_forms(made, pytest.fail, device=CPU)
    plain, convolved, taps = "direct/direct/direct", "direct/direct/convolved", "taps/taps/taps"
    assert list(forms_of(d).values()) == [plain, plain, convolved, taps, plain]
    assert list(forms_of(g).values()) == [convolved, convolved, plain]


def test_the_stopwatch_decides_pass_by_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    times = iter([2.0, 1.0, 1.0, 2.0, 3.0, 2.0, 1.0] + [1.0] * 99)  # head: forward, input, weight
    monkeypatch.setattr(tuning, "_seconds", lambda act: (act(), next(times))[1])
    monkeypatch.setattr(tuning, "layers", lambda n: iter([("head", n.head)]))
    x = torch.zeros(4, 3, 32, 32)
    choose_forms(made, lambda: made(x), settings="timed", device=CPU)
    assert made.head.forms == Forms("taps", "direct", "taps")


def test_timing_leaves_the_numbers_alone() -> None:
    made = network()
    before = {k: v.clone() for k, v in made.state_dict().items()}
    x = torch.linspace(-1, 1, 2 * 3072).view(2, 3, 32, 32)
    expected = made(x).logits
    chance = torch.get_rng_state()
    choose_forms(made, lambda: made(x), settings="timed", device=CPU)
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(before[k], v) for k, v in made.state_dict().items())
    assert all(p.grad is None for p in made.parameters())
    assert torch.allclose(made(x).logits, expected, rtol=1e-4, atol=1e-6)


def test_pinned_forms_come_back_as_they_were_given() -> None:
    made, other = network(), network()
    set_forms(made, {"body.6": "taps/direct/convolved", "head": "direct/taps/taps"})
    choose_forms(other, pytest.fail, settings=forms_of(made), device=CPU)
    assert forms_of(other) == forms_of(made)
    assert other.body[6].forms == Forms("taps", "direct", "convolved")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"body.7": "direct/direct/direct"}, "no layer 'body.7'; there are body.0"),
        ({"body.0": "taps/direct/direct"}, "body.0 has a stride"),
        ({"head": "direct"}, "'direct' is not forward/grad_input/grad_weight"),
    ],
)
def test_forms_that_cannot_be(chosen: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        set_forms(network(), chosen)


def test_networks_without_a_choice() -> None:
    made = nn.Sequential(nn.Linear(2, 2))
    choose_forms(made, pytest.fail, device=CPU)
    assert forms_of(made) == {}
