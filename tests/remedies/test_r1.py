from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import R1
from ganstoch.remedies.base import DiscriminatorFn, DiscriminatorPass, StepInfo
from ganstoch.rng import normal, rng_for
from ganstoch.types import DiscriminatorOutput, MicroBatch


def scores_of(critic: DiscriminatorFn, real: Tensor, *, pack: int = 1) -> DiscriminatorPass:
    """A discriminator's scores; the generated points are where no penalty may look."""
    n = len(real)
    part = MicroBatch(real, real, 1.0, torch.arange(n), None, torch.arange(n), n)
    fakes = torch.full_like(real, math.nan)
    return DiscriminatorPass(
        StepInfo(0, 0), part, fakes, fakes, critic, critic(fakes), critic(real), pack
    )


def points(n: int) -> Tensor:
    return normal((n, 2), rng_for(0, "data")).double()


def test_is_half_gamma_times_the_mean_square_at_real_examples() -> None:
    def critic(x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(torch.sin(3 * x[:, 0]) * x[:, 1].exp(), x)

    real, total = points(5), 0.0
    for x, y in real.tolist():
        slope = (3 * math.cos(3 * x) * math.exp(y), math.sin(3 * x) * math.exp(y))
        total += slope[0] ** 2 + slope[1] ** 2
    loss = R1(gamma=4.0).discriminator_loss(torch.tensor(7.0).double(), scores_of(critic, real))
    assert loss.item() == pytest.approx(7.0 + 2.0 * total / 5, abs=1e-11)


@pytest.mark.parametrize("n", [2, 6])
def test_of_a_linear_critic_and_of_packs(n: int) -> None:
    """A pair's logit a . x_1 + b . x_2 has the square |a|^2 + |b|^2, at every batch size."""
    slope = torch.tensor([1.0, 2.0, -2.0, 4.0]).double()
    for pack, square in ((1, 5.0), (2, 25.0)):
        part = slope[: 2 * pack]
        scores = scores_of(
            lambda x, part=part, pack=pack: DiscriminatorOutput(x.reshape(-1, 2 * pack) @ part, x),
            points(n),
            pack=pack,
        )
        loss = R1(gamma=10.0).discriminator_loss(torch.zeros((), dtype=torch.float64), scores)
        assert loss.item() == pytest.approx(5.0 * square, abs=1e-12)


def test_the_bilinear_game_comes_to_rest(dirac: Callable[..., list[tuple[float, float]]]) -> None:
    """Mescheder et al. 2018, Sec. 4: without the penalty the players circle each other."""
    h, gamma = 0.2, 1.0
    path = dirac(R1(gamma=gamma), lr=h, iterations=200)
    psi, theta = path[0]
    for found in path:
        assert found == pytest.approx((psi, theta), abs=1e-12)
        psi -= h * (theta + gamma * psi)
        theta += h * psi
    assert math.hypot(*path[-1]) < 1e-6
    assert math.hypot(*dirac(lr=h, iterations=200)[-1]) > 0.5
