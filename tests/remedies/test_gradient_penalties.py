"""R1, R2 and WGAN-GP against their formulas, for critics whose gradients are known."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import R1, R2, WGANGP
from ganstoch.remedies.base import DiscriminatorFn
from ganstoch.rng import normal, rng_for
from ganstoch.types import DiscriminatorOutput

ZERO = torch.zeros((), dtype=torch.float64)


def points(n: int, part: str = "real") -> Tensor:
    return normal((n, 2), rng_for(0, "data", part=part)).double()


def nowhere(n: int) -> Tensor:
    """Generated points where no penalty may look."""
    return torch.full((n, 2), math.nan).double()


def linear(slope: Tensor) -> DiscriminatorFn:
    return lambda x: DiscriminatorOutput(x.reshape(-1, len(slope)) @ slope, x)


def curved(x: Tensor) -> DiscriminatorOutput:
    return DiscriminatorOutput(torch.sin(3 * x[:, 0]) * x[:, 1].exp(), x)


def steepness(x: float, y: float) -> float:
    """Of the curved critic."""
    return math.hypot(3 * math.cos(3 * x) * math.exp(y), math.sin(3 * x) * math.exp(y))


def of_pair(x: Tensor) -> DiscriminatorOutput:
    pairs = x.reshape(-1, 4)
    return DiscriminatorOutput(torch.sin(pairs[:, 0]) * pairs[:, 3] + pairs[:, 1].square(), pairs)


@pytest.mark.parametrize("remedy", [R1(gamma=4.0), R2(gamma=4.0)])
def test_half_gamma_times_the_mean_square_at_examples_of_one_kind(
    remedy: R1 | R2, tiny: SimpleNamespace
) -> None:
    real, fakes = points(6), nowhere(6)
    scores = tiny.scores_of(curved, *((real, fakes) if isinstance(remedy, R1) else (fakes, real)))
    loss = remedy.discriminator_loss(ZERO + 7.0, scores)
    total = sum(steepness(x, y) ** 2 for x, y in points(6).tolist())
    assert loss.item() == pytest.approx(7.0 + 2.0 * total / 6, abs=1e-11)


@pytest.mark.parametrize("kind", [R1, R2])
def test_of_a_pack(kind: type[R1 | R2], tiny: SimpleNamespace) -> None:
    """A pair's logit a . x_1 + b . x_2 has the square |a|^2 + |b|^2."""
    critic = linear(torch.tensor([1.0, 2.0, -2.0, 4.0]).double())
    scores = tiny.scores_of(critic, points(6), points(6, "fake"), pack=2)
    assert kind(gamma=10.0).discriminator_loss(ZERO, scores).item() == pytest.approx(125, abs=1e-12)


def test_r1_brings_the_dirac_gan_to_rest(dirac: Callable[..., list[tuple[float, float]]]) -> None:
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


@pytest.mark.parametrize("n", [1, 5, 64])
def test_wgan_gp_of_a_linear_critic_at_every_batch_size(tiny: SimpleNamespace, n: int) -> None:
    unit = torch.tensor([0.6, 0.8], dtype=torch.float64)
    for c in (1.0, 0.0, 0.5, 3.0):
        scores = tiny.scores_of(linear(c * unit), points(n), points(n, "fake"))
        loss = WGANGP(weight=10.0).discriminator_loss(ZERO, scores)
        assert loss.item() == pytest.approx(10.0 * (c - 1.0) ** 2, abs=1e-12)


def test_wgan_gp_is_the_mean_over_points_between_real_and_generated(tiny: SimpleNamespace) -> None:
    real, fakes = points(5), points(5, "fake")
    scores = tiny.scores_of(curved, real, fakes)
    eps = scores.info.uniform("wgan_gp", scores.batch)
    between = eps[:, None] * real + (1 - eps[:, None]) * fakes
    total = sum((steepness(x, y) - 1.0) ** 2 for x, y in between.tolist())
    loss = WGANGP(weight=2.0).discriminator_loss(ZERO + 7.0, scores)
    assert loss.item() == pytest.approx(7.0 + 2.0 * total / 5, abs=1e-12)
    assert len(set(eps.tolist())) == 5
    assert 0.0 <= eps.min() < eps.max() < 1.0


def test_wgan_gp_gives_a_pack_one_norm_and_one_line(tiny: SimpleNamespace) -> None:
    real, fakes = points(6), points(6, "fake")
    scores = tiny.scores_of(of_pair, real, fakes, pack=2)
    eps = scores.info.uniform("wgan_gp", scores.batch, every=2)[:, None]
    assert eps.shape == (3, 1)
    total = 0.0
    for a, b, _, d in (eps * real.view(3, 4) + (1 - eps) * fakes.view(3, 4)).tolist():
        total += (math.hypot(math.cos(a) * d, 2 * b, math.sin(a)) - 1.0) ** 2
    loss = WGANGP(weight=1.0).discriminator_loss(ZERO, scores)
    assert loss.item() == pytest.approx(total / 3, abs=1e-12)


def test_a_flat_critic_has_finite_gradients_of_every_order(tiny: SimpleNamespace) -> None:
    slope = torch.zeros(2).double().requires_grad_()
    scores = tiny.scores_of(linear(slope), points(3), points(3, "fake"))
    loss = WGANGP(weight=10.0).discriminator_loss(ZERO, scores)
    assert loss.item() == 10.0
    (once,) = torch.autograd.grad(loss, slope, create_graph=True)
    (twice,) = torch.autograd.grad(once.sum(), slope)
    assert once.isfinite().all()
    assert twice.isfinite().all()
