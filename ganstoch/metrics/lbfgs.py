"""L-BFGS for many small problems at once, none of which knows of the others.

[1] Nocedal, Wright 2006, "Numerical Optimization", 2nd ed., Sec. 7.2, Algorithm 7.4.

A step that does not lower its problem's value enough (Armijo) is halved. Where none helps, the
history is forgotten and the gradient followed; where that does not help, the problem is done.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_HISTORY = 10
_HALVINGS = 20
_ARMIJO = 1e-4
_FLAT = 1e-12  # curvature below which a step says nothing, relative to step and gradient
Function = Callable[[Tensor, Tensor], Tensor]


class Minima(NamedTuple):
    """Where each problem ended."""

    points: Tensor  # (B, D)
    values: Tensor  # float64 (B,)


def minimize_each(function: Function, starts: Tensor, *, iterations: int) -> Minima:
    """Minimizes B functions of D variables each, from starts (B, D), float32 or float64.

    ``function`` gives the values, float64 (S,), at points (S, D) of the problems of given ids (S,);
    each problem takes at most so many ``iterations``.
    """
    at = starts.detach().clone()
    problems = torch.arange(len(at), device=at.device)
    value, slope = _slope(function, at, problems)
    history = _History(at)
    moving = torch.ones(len(at), dtype=torch.bool, device=at.device)
    for _ in range(iterations):
        direction = history.direction(slope)
        descent = (direction.double() * slope.double()).sum(1)
        blind = history.blind()  # to the curvature: a length of 1 at most
        short = slope.double().abs().sum(1).clamp(min=1).reciprocal()
        length = torch.where(blind, short, 1.0)
        to, lower = _search(
            function, at, direction, value, descent, length=length, of=problems[moving]
        )
        moved = moving & (lower < value)
        moving &= moved | ~blind
        if not moving.any():
            break
        turned = slope.clone()
        if moved.any():
            ids = problems[moved]
            turned[ids] = _slope(function, to[ids], ids)[1]
        history.add(to - at, turned - slope)
        history.forget(moving & ~moved)
        at, value, slope = to, lower, turned
    return Minima(at, value)


def _search(
    function: Function,
    at: Tensor,
    direction: Tensor,
    value: Tensor,
    descent: Tensor,
    *,
    length: Tensor,
    of: Tensor,
) -> tuple[Tensor, Tensor]:
    """The first of the halved steps that lowers each value enough; no step if none does."""
    to, lower = at.clone(), value.clone()
    for _ in range(_HALVINGS):
        if len(of) == 0:
            break
        tried = at[of] + length[of, None].to(at) * direction[of]
        with torch.no_grad():
            reached = function(tried, of)
        enough = reached <= value[of] + _ARMIJO * length[of] * descent[of]
        done = of[enough]
        to[done], lower[done] = tried[enough], reached[enough]
        of = of[~enough]
        length[of] /= 2
    return to, lower


def _slope(function: Function, points: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        values = function(points, problems)
        (slope,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), slope


class _History:
    """Each problem's last steps and turns of the gradient: an inverse Hessian, as its products."""

    def __init__(self, points: Tensor) -> None:
        self.steps = points.new_empty((0, *points.shape), dtype=torch.float64)
        self.turns = self.steps.clone()

    def add(self, step: Tensor, turn: Tensor) -> None:
        """Remembers a step where it curved upwards; elsewhere a step of nothing."""
        step, turn = step.double(), turn.double()
        curved = (step * turn).sum(1) > _FLAT * step.norm(dim=1) * turn.norm(dim=1)
        self.steps = torch.cat([self.steps, step.where(curved[:, None], 0.0)[None]])[-_HISTORY:]
        self.turns = torch.cat([self.turns, turn.where(curved[:, None], 0.0)[None]])[-_HISTORY:]

    def forget(self, problems: Tensor) -> None:
        self.steps[:, problems] = 0.0
        self.turns[:, problems] = 0.0

    def blind(self) -> Tensor:
        return (self.steps == 0).all(2).all(0)

    def direction(self, slope: Tensor) -> Tensor:
        """Minus the inverse Hessian times the gradient [1], shape (B, D); always downhill."""
        products = (self.steps * self.turns).sum(2)
        weights = torch.where(products > 0, 1 / products, 0.0)  # nothing, for a step of nothing
        pairs = list(zip(self.steps, self.turns, weights, strict=True))
        rest = slope.double()
        shares = []
        for step, turn, weight in reversed(pairs):
            shares.append(weight * (step * rest).sum(1))
            rest = rest - shares[-1][:, None] * turn
        rest = rest * self._scale(products)[:, None]
        for (step, turn, weight), share in zip(pairs, reversed(shares), strict=True):
            rest = rest + (share - weight * (turn * rest).sum(1))[:, None] * step
        uphill = (rest * slope.double()).sum(1) <= 0  # by rounding only
        return -torch.where(uphill[:, None], slope.double(), rest).to(slope.dtype)

    def _scale(self, products: Tensor) -> Tensor:
        """Curvature of the latest step that is known, s'y / y'y; 1 without any."""
        scale = self.steps.new_ones(self.steps.shape[1])
        for product, turn in zip(products, self.turns, strict=True):
            scale = torch.where(product > 0, product / turn.square().sum(1), scale)
        return scale
