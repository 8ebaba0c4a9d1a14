"""Memory counted without an iteration, against arithmetic and against what is held."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ganstoch.models.tuning import set_forms
from ganstoch.training import arithmetic
from ganstoch.training.arithmetic import settle
from ganstoch.training.gan import GAN
from ganstoch.training.memory import _LiveBytes, fitting_micro_batch, peak_bytes, room_bytes


def test_live_bytes_are_those_of_living_tensors() -> None:
    with _LiveBytes() as bytes_:
        a = torch.zeros(100)
        assert bytes_.live == 400
        b = a.view(10, 10).t()  # shares
        assert bytes_.live == 400
        c = b + 1
        assert bytes_.live == bytes_.peak == 800
        del a
        assert bytes_.live == 800  # b holds it
        del b, c
        assert bytes_.live == 0
        assert bytes_.peak == 800
        torch.empty(10, dtype=torch.uint8)
        assert bytes_.live == 0


def test_never_less_than_the_weights_gradients_and_moments(make_game: Callable[..., GAN]) -> None:
    game = make_game()
    weights = sum(p.nbytes for p in game.parameters())
    peak = peak_bytes(game, m=1, micro_batch=None)
    trained = sum(p.nbytes for p in game.parameters() if p.requires_grad)
    assert peak > weights + 2 * trained  # two moments each
    assert peak < weights + 4 * trained + 10 * 2**20
    assert next(game.parameters()).device.type == "cpu"


@pytest.mark.parametrize("micro_batch", [8, 16])
def test_micro_batches_bound_the_memory(make_game: Callable[..., GAN], micro_batch: int) -> None:
    game = make_game(width=32)
    own = peak_bytes(game, m=micro_batch, micro_batch=None)
    many = peak_bytes(game, m=8 * micro_batch, micro_batch=micro_batch)
    whole = peak_bytes(game, m=8 * micro_batch, micro_batch=None)
    assert many < 1.1 * own
    assert whole > 2 * own


def test_the_micro_batch_is_as_large_as_fits(make_game: Callable[..., GAN]) -> None:
    game = make_game(width=32)
    need = peak_bytes(game, m=64, micro_batch=None)
    assert fitting_micro_batch(game, m=64, room=3 * need) is None
    half = fitting_micro_batch(game, m=64, room=int(1.2 * need))
    assert half is not None
    assert 16 <= half <= 40
    assert peak_bytes(game, m=half, micro_batch=None) <= 0.6 * need
    assert fitting_micro_batch(game, m=64, room=0) == 1


def test_there_is_memory() -> None:
    cpu = torch.device("cpu")
    whole = room_bytes(cpu, steady=True)
    assert whole == room_bytes(cpu, steady=True)
    assert 2**20 < room_bytes(cpu, steady=False) <= whole < 2**50


@pytest.mark.parametrize("steady", [False, True])
def test_what_is_free_decides_only_where_bits_may_differ(
    make_game: Callable[..., GAN], monkeypatch: pytest.MonkeyPatch, steady: bool
) -> None:
    asked: list[bool] = []

    def room(device: torch.device, *, steady: bool) -> int:
        asked.append(steady)
        return 2**40

    monkeypatch.setattr(arithmetic, "room_bytes", room)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: steady)
    game = make_game()
    game.micro_batch = "auto"
    settle(game, m=16)
    assert asked == [steady]
    assert game.micro_batch is None


def test_settling_writes_down_what_was_chosen(
    make_game: Callable[..., GAN], monkeypatch: pytest.MonkeyPatch
) -> None:
    game = make_game(width=32)
    game.micro_batch = "auto"
    need = peak_bytes(game, m=64, micro_batch=None)
    monkeypatch.setattr(arithmetic, "room_bytes", lambda device, *, steady: int(1.2 * need))
    settle(game, m=64)
    assert isinstance(game.micro_batch, int)
    assert isinstance(game.forms, dict)
    assert set(game.forms) >= {"g.layers.2", "d.body.6", "d.head"}

    other = make_game(width=32, micro_batch=game.micro_batch)
    other.forms = game.forms | {"d.body.6": "taps/taps/taps"}
    settle(other, m=64)
    assert str(other.discriminator.body[6].forms) == "taps/taps/taps"  # type: ignore[union-attr, index]
    assert other.forms["d.body.6"] == "taps/taps/taps"  # type: ignore[index]


def test_the_average_computes_like_the_generator(make_game: Callable[..., GAN]) -> None:
    game = make_game()
    game.forms = {"g.layers.2": "direct/direct/convolved"}
    settle(game, m=4)
    assert str(game.average.generator.layers[2].forms) == "direct/direct/convolved"  # type: ignore[union-attr, index]


def test_a_resumed_run_takes_its_sums_in_the_same_order(make_game: Callable[..., GAN]) -> None:
    first = make_game()
    first.forms, first.micro_batch = "timed", "auto"
    settle(first, m=8)
    checkpoint = {"state_dict": first.state_dict()}
    first.on_save_checkpoint(checkpoint)
    pinned = {**checkpoint["arithmetic"]["forms"], "d.body.6": "direct/taps/direct"}
    checkpoint["arithmetic"] = {"forms": pinned, "micro_batch": 5}

    left = make_game()
    left.forms, left.micro_batch = "timed", "auto"
    left.on_load_checkpoint(checkpoint)
    settle(left, m=8)
    assert left.forms == pinned
    assert left.micro_batch == 5

    told = make_game(micro_batch=2)  # what a user sets is not overruled
    told.forms = {"d.head": "taps/taps/taps"}
    told.on_load_checkpoint(checkpoint)
    settle(told, m=8)
    assert told.micro_batch == 2
    assert isinstance(told.forms, dict)
    assert told.forms["d.head"] == "taps/taps/taps"
    assert told.forms["d.body.6"] == "direct/direct/direct"


def test_compiled_networks_compute_the_same(make_game: Callable[..., GAN]) -> None:
    """Through the tracer and autograd, without the compiler behind them."""
    game, plain = make_game(), make_game()
    z = torch.linspace(-1, 1, 4 * 8).view(4, 8)
    for network in (game.generator, game.discriminator):
        network.compile(backend="aot_eager")
    assert torch.allclose(game.generator(z), plain.generator(z), atol=1e-6)
    images = torch.linspace(-1, 1, 4 * 3072).view(4, 3, 32, 32).requires_grad_()
    for forms in ("direct/direct/direct", "direct/direct/convolved"):
        set_forms(game.discriminator, {"body.4": forms})
        one, other = (
            torch.autograd.grad(one.discriminator(images).logits.sum(), images)[0]
            for one in (game, plain)
        )
        assert torch.allclose(one, other, atol=1e-6)
