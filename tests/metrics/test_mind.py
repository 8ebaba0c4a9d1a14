"""MIND: torch-fidelity's number, and the closed form of a shift."""

import pytest
import torch
from torch import Tensor

from ganstoch.metrics import mind as module
from ganstoch.metrics.mind import mind


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def reference(first: Tensor, second: Tensor, projections: int, seed: int) -> float:
    """torch-fidelity's metric_mind.mind_features_to_metric."""
    rng = torch.Generator().manual_seed(seed)
    n, width = min(len(first), len(second)), first.shape[1]
    if len(first) > n:
        first = first[torch.randperm(len(first), generator=rng)[:n]]
    if len(second) > n:
        second = second[torch.randperm(len(second), generator=rng)[:n]]
    directions = torch.randn(projections, width, generator=rng, dtype=torch.float32)
    directions = (directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-12)).double()
    projected = [(rows @ directions.t()).sort(dim=0).values for rows in (first, second)]
    return float(3.0 * width * ((projected[0] - projected[1]) ** 2).mean())


@pytest.mark.parametrize("sizes", [(80, 80), (120, 50), (50, 120)])
@pytest.mark.parametrize("block", [100, 2**22])
def test_the_reference_on_the_same_features(
    sizes: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", block)
    first, second = draw(sizes[0], 12, seed=1), 1.5 * draw(sizes[1], 12, seed=2)
    expected = reference(first, second, 64, 9)
    assert mind(first, second, projections=64, seed=9) == pytest.approx(expected, rel=1e-6)
    assert mind(first, second, projections=64, seed=8) != pytest.approx(expected, rel=1e-6)


def test_a_shift_is_three_times_its_square() -> None:
    rows, shift = draw(400, 8, seed=3), torch.zeros(8).double()
    shift[2] = 5.0
    # A unit direction has F u^2 = 1 on average.
    assert mind(rows, rows + shift, projections=20_000) == pytest.approx(75, rel=0.03)
    assert mind(rows, rows.flip(0)) == 0
    alike = mind(rows, draw(400, 8, seed=4))
    assert alike < 0.2 * mind(rows, draw(400, 8, seed=4) + 0.5)
    with pytest.raises(ValueError, match="projections"):
        mind(rows, rows, projections=0)
