"""Each objective on the smallest GAN, whose dynamics are known in closed form.

The Dirac-GAN of Mescheder et al. 2018, Sec. 2: the data are one point 0, the generator is one
point theta, the discriminator is linear, D(x) = psi x + c. With f(t) and g(t) the losses of D and
G for the generated point's logit t, simultaneous gradient descent follows the field
(-g'(t) psi, -f'(t) theta). At theta = psi = 0 its Jacobian has no diagonal, and the eigenvalues
are +- i sqrt(-f'(c) g'(c)): no objective converges, all turn about the equilibrium. c is the logit
of a discriminator that cannot tell: 0, but 1/2 for least squares.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ganstoch.objectives import (
    Hinge,
    LeastSquares,
    NonSaturating,
    Objective,
    Relativistic,
    RelativisticAverage,
    Saturating,
    Wasserstein,
)

Slope = Callable[[float], float]


def s(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def step(t: float) -> float:
    return float(t > 0)


@dataclass(frozen=True)
class Case:
    """An objective with f', g' and its eigenvalues' imaginary part."""

    loss: Objective
    f: Slope
    g: Slope
    turns: float
    c: float = 0.0


CASES = {
    "non-saturating": Case(NonSaturating(), s, lambda t: -s(-t), 1 / 2),
    "saturating": Case(Saturating(), s, lambda t: -s(t), 1 / 2),
    "hinge": Case(Hinge(), lambda t: step(1 + t), lambda t: -1.0, 1.0),
    "least squares": Case(LeastSquares(), lambda t: t, lambda t: t - 1, 1 / 2, c=0.5),
    "Wasserstein": Case(Wasserstein(), lambda t: 1.0, lambda t: -1.0, 1.0),
    "relativistic": Case(Relativistic(), s, lambda t: -s(-t), 1 / 2),
    # The real point's term equals the generated one's, so all of it counts twice.
    "average, logistic": Case(RelativisticAverage(), lambda t: 2 * s(t), lambda t: -2 * s(-t), 1.0),
    "average, hinge": Case(
        RelativisticAverage("hinge"), lambda t: 2 * step(1 + t), lambda t: -2 * step(1 - t), 2.0
    ),
    "average, least squares": Case(
        RelativisticAverage("least_squares"), lambda t: 4 * (t + 1), lambda t: 4 * (t - 1), 4.0
    ),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def field(case: Case, point: Tensor) -> Tensor:
    """Minus the gradients (dL_G / dtheta, dL_D / dpsi) at ``point``, shape (2,) like it."""
    theta, psi = point
    # Three equal points rather than one: a mean must not care.
    real, fake = (psi * 0 + case.c).expand(3), (psi * theta + case.c).expand(3)
    (for_theta,) = torch.autograd.grad(case.loss.generator(fake, real), theta, create_graph=True)
    (for_psi,) = torch.autograd.grad(case.loss.discriminator(real, fake), psi, create_graph=True)
    return -torch.stack([for_theta, for_psi])


@each
@pytest.mark.parametrize(
    ("theta", "psi"), [(1.0, 0.5), (-0.7, 2.0), (3.0, -0.4), (0.5, 0.0), (-2.0, -5.0), (9.0, -3.0)]
)
def test_field(case: Case, theta: float, psi: float) -> None:
    point = torch.tensor([theta, psi], dtype=torch.double, requires_grad=True)
    t = theta * psi + case.c
    expected = [-case.g(t) * psi, -case.f(t) * theta]
    assert field(case, point).tolist() == pytest.approx(expected, rel=1e-11, abs=0)


@each
def test_the_players_turn_about_the_equilibrium(case: Case) -> None:
    origin = torch.zeros(2, dtype=torch.double, requires_grad=True)
    at_origin = field(case, origin)
    assert at_origin.tolist() == [0, 0]
    rows = [torch.autograd.grad(each, origin, retain_graph=True)[0] for each in at_origin]
    jacobian = torch.stack(rows)
    expected = [0, -case.g(case.c), -case.f(case.c), 0]
    assert jacobian.flatten().tolist() == pytest.approx(expected, rel=1e-14)
    eigenvalues = torch.linalg.eigvals(jacobian)
    assert eigenvalues.real.tolist() == pytest.approx([0, 0], abs=1e-14)
    assert sorted(eigenvalues.imag.tolist()) == pytest.approx([-case.turns, case.turns], rel=1e-14)
    assert case.turns == pytest.approx(math.sqrt(-case.f(case.c) * case.g(case.c)), rel=1e-14)
