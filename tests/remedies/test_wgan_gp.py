from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import WGANGP
from ganstoch.remedies.base import DiscriminatorFn, DiscriminatorPass
from ganstoch.rng import normal, rng_for
from ganstoch.types import DiscriminatorOutput

ZERO = torch.zeros((), dtype=torch.float64)


def scores_of(
    tiny: SimpleNamespace, critic: DiscriminatorFn, *, n: int, pack: int = 1
) -> DiscriminatorPass:
    """A discriminator's pass of points (n, 2), float64."""
    real, fakes = (
        normal((n, 2), rng_for(0, "data", part=part)).double() for part in ("real", "fake")
    )
    scores = tiny.scores_of(critic, real, fakes, pack=pack)
    assert isinstance(scores, DiscriminatorPass)
    return scores


def linear(slope: Tensor) -> DiscriminatorFn:
    return lambda x: DiscriminatorOutput(x @ slope, x)


def curved(x: Tensor) -> DiscriminatorOutput:
    return DiscriminatorOutput(torch.sin(3 * x[:, 0]) * x[:, 1].exp(), x)


def of_pair(x: Tensor) -> DiscriminatorOutput:
    pairs = x.reshape(-1, 4)
    return DiscriminatorOutput(torch.sin(pairs[:, 0]) * pairs[:, 3] + pairs[:, 1].square(), pairs)


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_of_a_linear_critic_at_every_batch_size(tiny: SimpleNamespace, n: int) -> None:
    unit = torch.tensor([0.6, 0.8], dtype=torch.float64)
    for c in (1.0, 0.0, 0.5, 3.0):
        loss = WGANGP(weight=10.0).discriminator_loss(ZERO, scores_of(tiny, linear(c * unit), n=n))
        assert loss.item() == pytest.approx(10.0 * (c - 1.0) ** 2, abs=1e-12)


def test_is_the_mean_over_points_between_real_and_generated(tiny: SimpleNamespace) -> None:
    scores = scores_of(tiny, curved, n=5)
    eps = scores.info.uniform("wgan_gp", scores.batch)
    total = 0.0
    for e, real, fake in zip(
        eps.tolist(), scores.batch.real.tolist(), scores.fakes.tolist(), strict=True
    ):
        x, y = (e * real[k] + (1 - e) * fake[k] for k in (0, 1))
        slope = (3 * math.cos(3 * x) * math.exp(y), math.sin(3 * x) * math.exp(y))
        total += (math.hypot(*slope) - 1.0) ** 2
    loss = WGANGP(weight=2.0).discriminator_loss(ZERO + 7.0, scores)
    assert loss.item() == pytest.approx(7.0 + 2.0 * total / 5, abs=1e-12)
    assert len(eps.unique()) == 5
    assert 0.0 <= eps.min() < eps.max() < 1.0


def test_a_pack_has_one_norm_and_one_line(tiny: SimpleNamespace) -> None:
    scores = scores_of(tiny, of_pair, n=6, pack=2)
    eps = scores.info.uniform("wgan_gp", scores.batch, every=2)
    assert eps.shape == (3,)
    real, fake = scores.batch.real.view(3, 4), scores.fakes.view(3, 4)
    total = 0.0
    for i, e in enumerate(eps.tolist()):
        a, b, _, d = (e * real[i] + (1 - e) * fake[i]).tolist()
        total += (math.hypot(math.cos(a) * d, 2 * b, math.sin(a)) - 1.0) ** 2
    loss = WGANGP(weight=1.0).discriminator_loss(ZERO, scores)
    assert loss.item() == pytest.approx(total / 3, abs=1e-12)


def test_a_flat_critic_has_finite_gradients_of_every_order(tiny: SimpleNamespace) -> None:
    slope = torch.zeros(2).double().requires_grad_()
    loss = WGANGP(weight=10.0).discriminator_loss(ZERO, scores_of(tiny, linear(slope), n=3))
    assert loss.item() == 10.0
    (once,) = torch.autograd.grad(loss, slope, create_graph=True)
    (twice,) = torch.autograd.grad(once.sum(), slope)
    assert once.isfinite().all()
    assert twice.isfinite().all()
