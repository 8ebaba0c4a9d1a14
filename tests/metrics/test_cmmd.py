"""CMMD: its authors' estimator on the same embeddings, in blocks and whole."""

import pytest
import torch
from torch import Tensor

from ganstoch.metrics import cmmd as module
from ganstoch.metrics.cmmd import cmmd


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def reference(x: Tensor, y: Tensor) -> float:
    """google-research/cmmd: distance.mmd, on embeddings of unit length."""
    x, y = (rows / rows.norm(dim=1, keepdim=True) for rows in (x, y))
    gamma = 1 / (2 * 10**2)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        squares = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
        return torch.exp(-gamma * squares).mean()

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y)).item()


@pytest.mark.parametrize("rows", [7, 64, 2048])
def test_the_reference_on_the_same_embeddings(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", rows)
    x, y = draw(120, 16, seed=1), draw(75, 16, seed=2) + 0.4
    assert cmmd(x, y) == pytest.approx(reference(x, y), abs=1e-9)
    assert cmmd(y, x) == pytest.approx(cmmd(x, y), abs=1e-9)
    assert cmmd(5 * x, y) == pytest.approx(cmmd(x, y), abs=1e-9)  # lengths do not count
    assert cmmd(x.float(), y.float()) == pytest.approx(cmmd(x, y), abs=1e-4)


def test_same_near_and_far() -> None:
    x, alike, other = (draw(300, 16, seed=seed) for seed in (3, 4, 5))
    assert cmmd(x, x.flip(0)) == pytest.approx(0, abs=1e-9)
    assert 0 < cmmd(x, alike) < 0.2 * cmmd(x, other + 0.5)
