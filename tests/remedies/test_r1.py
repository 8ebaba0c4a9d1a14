from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import R1
from ganstoch.rng import normal, rng_for
from ganstoch.types import DiscriminatorOutput

NONE = torch.full((6, 2), math.nan).double()  # generated points, where no penalty may look


def points(n: int) -> Tensor:
    return normal((n, 2), rng_for(0, "data")).double()


def test_is_half_gamma_times_the_mean_square_at_real_examples(tiny: SimpleNamespace) -> None:
    def critic(x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(torch.sin(3 * x[:, 0]) * x[:, 1].exp(), x)

    real, total = points(6), 0.0
    for x, y in real.tolist():
        slope = (3 * math.cos(3 * x) * math.exp(y), math.sin(3 * x) * math.exp(y))
        total += slope[0] ** 2 + slope[1] ** 2
    scores = tiny.scores_of(critic, real, NONE)
    loss = R1(gamma=4.0).discriminator_loss(torch.tensor(7.0).double(), scores)
    assert loss.item() == pytest.approx(7.0 + 2.0 * total / 6, abs=1e-11)


@pytest.mark.parametrize("n", [2, 6])
def test_of_a_linear_critic_and_of_packs(tiny: SimpleNamespace, n: int) -> None:
    """A pair's logit a . x_1 + b . x_2 has the square |a|^2 + |b|^2, at every batch size."""
    slope = torch.tensor([1.0, 2.0, -2.0, 4.0]).double()
    for pack, square in ((1, 5.0), (2, 25.0)):

        def critic(x: Tensor, pack: int = pack) -> DiscriminatorOutput:
            return DiscriminatorOutput(x.reshape(-1, 2 * pack) @ slope[: 2 * pack], x)

        scores = tiny.scores_of(critic, points(n), NONE, pack=pack)
        loss = R1(gamma=10.0).discriminator_loss(torch.zeros((), dtype=torch.float64), scores)
        assert loss.item() == pytest.approx(5.0 * square, abs=1e-12)


def test_the_dirac_gan_comes_to_rest(dirac: Callable[..., list[tuple[float, float]]]) -> None:
    """Mescheder et al. 2018, Sec. 4: without the penalty the players circle each other."""
    h, gamma = 0.2, 1.0
    path = dirac(R1(gamma=gamma), lr=h, iterations=200)
    psi, theta = path[0]
    for point in path:
        assert point == pytest.approx((psi, theta), abs=1e-12)
        psi -= h * (theta + gamma * psi)
        theta += h * psi
    assert math.hypot(*path[-1]) < 1e-6
    assert math.hypot(*dirac(lr=h, iterations=200)[-1]) > 0.5
