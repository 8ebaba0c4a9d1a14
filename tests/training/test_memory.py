"""Memory counted without an iteration, against arithmetic and against what is held."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ganstoch.models.convolution import Forms
from ganstoch.training import arithmetic
from ganstoch.training.arithmetic import configure_kernels
from ganstoch.training.gan import GAN
from ganstoch.bench.memory import _LiveBytes, fitting_micro_batch, peak_bytes, room_bytes


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
    configure_kernels(game, m=16)
    assert asked == [steady]
    assert game.micro_batch is None


def test_the_choice_is_written_down_and_taken_over_by_a_resumed_run(
    make_game: Callable[..., GAN], monkeypatch: pytest.MonkeyPatch
) -> None:
    game = make_game(width=32)
    game.micro_batch = "auto"
    need = peak_bytes(game, m=64, micro_batch=None)
    monkeypatch.setattr(arithmetic, "room_bytes", lambda device, *, steady: int(1.2 * need))
    configure_kernels(game, m=64)
    assert isinstance(game.micro_batch, int)
    checkpoint = {"state_dict": game.state_dict()}
    game.on_save_checkpoint(checkpoint)
    resumed, told = make_game(width=32), make_game(width=32, micro_batch=2)
    resumed.micro_batch = "auto"
    for other in (resumed, told):
        other.on_load_checkpoint(checkpoint)
    assert resumed.micro_batch == game.micro_batch
    assert told.micro_batch == 2  # what a user sets is not overruled


def test_compiled_networks_compute_the_same(
    make_game: Callable[..., GAN], use_forms: Callable[[Forms], None]
) -> None:
    """Through the tracer and autograd, without the compiler behind them."""
    game, plain = make_game(), make_game()
    z = torch.linspace(-1, 1, 4 * 8).view(4, 8)
    for network in (game.generator, game.discriminator):
        network.compile(backend="aot_eager")
    assert torch.allclose(game.generator(z), plain.generator(z), atol=1e-6)
    images = torch.linspace(-1, 1, 4 * 3072).view(4, 3, 32, 32).requires_grad_()
    for forms in (Forms(), Forms(grad_weight="convolved")):
        use_forms(forms)
        one, other = (
            torch.autograd.grad(one.discriminator(images).logits.sum(), images)[0]
            for one in (game, plain)
        )
        assert torch.allclose(one, other, atol=1e-6)
