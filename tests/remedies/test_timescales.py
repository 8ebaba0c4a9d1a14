from types import SimpleNamespace
from typing import Any

import pytest

from ganstoch.remedies import Timescales
from ganstoch.training.gan import GAN


def rates(gan: GAN) -> tuple[float, float]:
    """Of the discriminator's and of the generator's optimizer."""
    step_d, step_g = gan.configure_optimizers()
    assert {id(p) for p in step_d.param_groups[0]["params"]} == {
        id(p) for p in gan.discriminator.parameters()
    }
    return step_d.param_groups[0]["lr"], step_g.param_groups[0]["lr"]


def test_a_factor_for_each_player(tiny: SimpleNamespace) -> None:
    gan = tiny.make(Timescales(discriminator=4.0, generator=0.5), lr=1e-3)
    assert rates(gan) == pytest.approx((4e-3, 5e-4), rel=1e-12)


@pytest.mark.parametrize(
    ("scale", "reference", "m", "factor"),
    [
        ("linear", "n/4", 25, 1.0),
        ("linear", "n/4", 100, 4.0),
        ("sqrt", "n/4", 100, 2.0),
        ("sqrt", "n", 1, 0.1),
        ("linear", "n", 1, 0.01),
        ("sqrt", 400, 100, 0.5),
        ("linear", "400", 100, 0.25),
        ("none", "n/4", 1, 1.0),
    ],
)
def test_rates_follow_the_batch(
    tiny: SimpleNamespace, scale: Any, reference: int | str, m: int, factor: float
) -> None:
    remedy = Timescales(discriminator=2.0, scale=scale, reference=reference)
    gan = tiny.make(remedy, lr=1e-3)
    gan.setup_latents(n=100, m=m)
    assert rates(gan) == pytest.approx((2e-3 * factor, 1e-3 * factor), rel=1e-12)
