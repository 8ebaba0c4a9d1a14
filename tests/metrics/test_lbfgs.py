"""Minima known beforehand, and problems that do not know of each other."""

import torch
from torch import Tensor

from ganstoch.metrics.lbfgs import minimize_each


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def valleys(points: Tensor, ids: Tensor) -> Tensor:
    """Rosenbrock's, 10 to 1,000 times steeper across than along; the least is 0 at (1, 1)."""
    across = points[:, 1] - points[:, 0] ** 2
    return (1 - points[:, 0]) ** 2 + 10.0 ** (1 + ids % 3) * across**2


def test_curvature_sets_the_scale() -> None:
    scales = torch.logspace(-3, 0, 8, dtype=torch.float64)
    found = minimize_each(
        lambda x, ids: 1e-3 * (scales * x**2).sum(1), draw(5, 8, seed=2), iterations=60
    )
    assert found.values.max() < 1e-9


def test_valleys() -> None:
    found = minimize_each(valleys, draw(9, 2, seed=3), iterations=200)
    torch.testing.assert_close(found.points, torch.ones_like(found.points), rtol=0, atol=1e-5)


def test_no_problem_knows_of_the_others() -> None:
    starts = draw(6, 2, seed=4)
    together = minimize_each(valleys, starts, iterations=17)
    for i, start in enumerate(starts):

        def valley(points: Tensor, ids: Tensor, i: int = i) -> Tensor:
            return valleys(points, ids + i)

        alone = minimize_each(valley, start[None], iterations=17)
        assert torch.equal(alone.points[0], together.points[i])
        assert torch.equal(alone.values[0], together.values[i])


def test_values_never_rise_and_belong_to_the_points() -> None:
    starts = draw(6, 2, seed=5)
    before = valleys(starts, torch.arange(6))
    for iterations in range(1, 30, 4):
        found = minimize_each(valleys, starts, iterations=iterations)
        assert (found.values <= before).all()
        torch.testing.assert_close(valleys(found.points, torch.arange(6)), found.values)
        before = found.values
    assert torch.equal(starts, draw(6, 2, seed=5))


def test_flat_and_steep_problems_end() -> None:
    flat = minimize_each(lambda x, ids: x.sum(1) * 0 + 3.0, draw(2, 2, seed=6), iterations=9)
    assert flat.values.tolist() == [3.0, 3.0]
    kink = minimize_each(lambda points, ids: points.abs().sum(1), draw(4, 3, seed=7), iterations=60)
    assert kink.values.max() < 1e-3


def test_a_step_out_of_bounds_is_taken_back() -> None:
    found = minimize_each(
        lambda x, ids: (x - (x + 2).log()).sum(1), draw(3, 2, seed=8).abs(), iterations=40
    )
    torch.testing.assert_close(found.points, -torch.ones_like(found.points), rtol=0, atol=1e-4)
