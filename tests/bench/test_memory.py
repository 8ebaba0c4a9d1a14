"""Memory counted without an iteration, against arithmetic and against what is held."""

import pytest
import torch

from ganstoch.bench.equality import make_gan
from ganstoch.bench.memory import _LiveBytes, peak_bytes


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


def test_never_less_than_the_weights_gradients_and_moments() -> None:
    gan = make_gan(latent_dim=8, width=16)
    peak = peak_bytes(gan, m=1, micro_batch=None)
    weights = sum(p.nbytes for p in gan.parameters())
    trained = sum(p.nbytes for p in gan.parameters() if p.requires_grad)
    assert peak > weights + 2 * trained  # two moments each
    assert peak < weights + 4 * trained + 10 * 2**20
    assert next(gan.parameters()).device.type == "cpu"


@pytest.mark.parametrize("micro_batch", [8, 16])
def test_micro_batches_bound_the_memory(micro_batch: int) -> None:
    gan = make_gan(latent_dim=8, width=32)
    own = peak_bytes(gan, m=micro_batch, micro_batch=None)
    many = peak_bytes(gan, m=8 * micro_batch, micro_batch=micro_batch)
    whole = peak_bytes(gan, m=8 * micro_batch, micro_batch=None)
    assert many < 1.1 * own
    assert whole > 2 * own
