"""Every way to compute the GAN gives what the plain loop gives."""

from typing import Any, get_args

import pytest
import torch

from ganstoch.bench.equality import MICRO_BATCHES, TOLERANCE, differences, make_gan, make_reference
from ganstoch.models.convolution import Form


@pytest.mark.parametrize("micro_batch", MICRO_BATCHES.values())
@pytest.mark.parametrize("form", get_args(Form))
def test_equals_the_plain_loop(form: Form, micro_batch: int | None, use_form: Any) -> None:
    use_form(form)
    gan = make_gan(latent_dim=16, width=32, micro_batch=micro_batch).double()
    assert max(differences(gan, m=8, iterations=20).values()) <= TOLERANCE


def test_the_comparison_sees_another_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganstoch.models.layers.Discriminator.power_iterate", lambda self: None)
    gaps = differences(make_gan(latent_dim=16, width=32).double(), m=8, iterations=3)
    assert min(gaps["weights"], gaps["losses"]) > 1e-7


def test_making_the_plain_loop_draws_nothing() -> None:
    gan = make_gan(latent_dim=16, width=32)
    before = torch.get_rng_state()
    make_reference(gan)
    assert torch.equal(torch.get_rng_state(), before)
