"""The Vendi score: equal to its authors' package, and to counts where these are known."""

import math

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.vendi import vendi_score

vendi = pytest.importorskip("vendi_score.vendi")
# The package asks for scipy.sparse.csr, of which scipy warns.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("shape", [(60, 12), (40, 200)])
@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, math.inf])
def test_the_package_on_the_same_features(shape: tuple[int, int], q: float) -> None:
    rows = draw(*shape)
    named = "inf" if math.isinf(q) else q
    dual = vendi.score_dual(rows.numpy(), q=named)
    unit = (rows / rows.norm(dim=1, keepdim=True)).numpy()
    assert vendi_score(rows, q=q) == pytest.approx(vendi.score_K(unit @ unit.T, q=named), rel=1e-6)
    if q > 0.5 or shape[0] > shape[1]:  # else the package counts roundings of 0
        assert vendi_score(rows, q=q) == pytest.approx(dual, rel=1e-6)
    assert vendi_score(rows.float(), q=q) == pytest.approx(dual, rel=1e-5)


def test_bytes_are_as_floats() -> None:
    rows = torch.randint(0, 256, (50, 3, 4, 4), dtype=torch.uint8)
    assert vendi_score(rows) == pytest.approx(vendi.score_X(rows.flatten(1).double().numpy()))


@pytest.mark.parametrize("q", [0.0, 0.3, 1.0, 3.0, math.inf])
def test_equally_frequent_kinds_are_counted(q: float) -> None:
    kinds = torch.linalg.qr(draw(30, 30)).Q[:7]
    assert vendi_score(kinds.repeat(20, 1), q=q) == pytest.approx(7)
    assert vendi_score(kinds[:1].repeat(20, 1), q=q) == pytest.approx(1)


def test_order_weighs_the_rare() -> None:
    kinds = torch.eye(4, dtype=torch.float64)
    rows = kinds.repeat_interleave(torch.tensor([100, 5, 3, 2]), dim=0)
    scores = [vendi_score(rows, q=q) for q in (0.0, 0.5, 1.0, 2.0, math.inf)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(4)
    assert scores[-1] == pytest.approx(110 / 100)


def test_invariances_and_refusals() -> None:
    rows = draw(50, 20)
    turn = torch.linalg.qr(draw(20, 20, seed=1)).Q
    assert vendi_score(7 * rows @ turn) == pytest.approx(vendi_score(rows))
    assert vendi_score(torch.cat([rows, rows])) == pytest.approx(vendi_score(rows))
    assert vendi_score(rows[:25].repeat(2, 1)) < vendi_score(rows)
    with pytest.raises(ValueError, match="all 0"):
        vendi_score(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="q must"):
        vendi_score(rows, q=-1)
