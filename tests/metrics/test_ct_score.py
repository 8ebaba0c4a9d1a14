"""C_T against its definition, its sign, and cells that do not count."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from ganstoch.metrics import ct_score as module
from ganstoch.metrics.ct_score import ct_score, rank_z
from ganstoch.metrics.neighbours import byte_search


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clusters(count: int, *, seed: int, weights: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Tensor:
    """Points about three places far from each other."""
    rng = torch.Generator().manual_seed(seed)
    which = torch.multinomial(torch.tensor(weights), count, replacement=True, generator=rng)
    return 100.0 * torch.eye(3, dtype=torch.float64)[which] + draw(count, 3, seed=seed)


def reference_z(train: Tensor, held_out: Tensor, generated: Tensor) -> float:
    """The authors' program in few words, and its half taken off."""
    tree = NearestNeighbors(n_neighbors=1).fit(train.numpy())
    asked = [tree.kneighbors(x.numpy())[0][:, 0] for x in (generated, held_out)]
    m, n = len(generated), len(held_out)
    deviation = math.sqrt(m * n * (m + n + 1) / 12)
    theirs = (mannwhitneyu(*asked, alternative="less").statistic - (m * n / 2 - 0.5)) / deviation
    return float(theirs - 0.5 / deviation)


def test_equal_to_the_authors_program() -> None:
    train, held_out = clusters(600, seed=1), clusters(300, seed=2)
    generated = clusters(400, seed=3, weights=(0.7, 0.28, 0.02))  # about 8 in the third cell
    generated[:50] = train[:50]
    found = ct_score(generated, train, held_out, norm="l2", cells=3)
    assert found.z == pytest.approx(reference_z(train, held_out, generated))
    places = [x.argmax(1) for x in (train, held_out, generated)]
    values, weights = [], []
    for c in range(3):
        t, p, q = (x[of == c] for x, of in zip((train, held_out, generated), places, strict=True))
        if len(q) / len(generated) > 20 / len(generated):
            values.append(reference_z(t, p, q))
            weights.append(len(p) / len(held_out))
    assert len(values) == 2
    assert found.value == pytest.approx(np.average(values, weights=weights))
    assert sum(cell.counted for cell in found.cells) == 2
    assert sum(cell.train for cell in found.cells) == 600


def test_cells_that_touch_answer_for_their_own_images_only() -> None:
    sets = [draw(200, 2, seed=s) for s in (1, 2, 3)]
    found = ct_score(sets[2], sets[0], sets[1], norm="l2", cells=8, tau=0.0)
    of = [module._assign(x, module._centres(sets[0], cells=8, seed=0)) for x in sets]
    expected = [reference_z(*(x[o == c] for x, o in zip(sets, of, strict=True))) for c in range(8)]
    assert [cell.z for cell in found.cells] == pytest.approx(expected)


def test_rank_z_by_counting_pairs() -> None:
    generated, held_out = torch.tensor([1.0, 2.0, 2.0, 5.0]), torch.tensor([2.0, 3.0, 4.0])
    u = sum((q > p).item() + 0.5 * (q == p).item() for q in generated for p in held_out)
    assert rank_z(generated, held_out) == pytest.approx((u - 6) / math.sqrt(12 * 8 / 12))
    assert rank_z(generated, generated) == 0.0
    assert rank_z(held_out, generated) == -rank_z(generated, held_out)


def test_scenarios() -> None:
    train, held_out, others = (clusters(500, seed=s) for s in (1, 2, 3))
    noise = draw(500, 3, seed=4)

    def value(generated: Tensor) -> float:
        return ct_score(generated, train, held_out, norm="l2", cells=3).value

    neutral = value(others)
    assert abs(neutral) < 3
    mixtures = []
    for share in (0.01, 0.1, 0.5, 1.0):
        count = round(500 * share)
        mixtures.append(value(torch.cat([train[:count] + 1e-3 * noise[:count], others[count:]])))
    assert mixtures == sorted(mixtures, reverse=True)
    assert mixtures[-1] < -10
    assert value(train[:1].expand(500, -1)) < -10  # copy one
    assert value(others + 3 * noise) > 5  # underfitted
    halves = others[others[:, 0] > 50]  # dropping modes is no copying
    assert abs(value(halves)) < 3


def test_cells_without_images_do_not_count() -> None:
    train, held_out = clusters(300, seed=1), clusters(200, seed=2, weights=(1.0, 0.0, 0.0))
    generated = clusters(100, seed=3, weights=(0.0, 0.0, 1.0))
    found = ct_score(generated, train, held_out, norm="l2", cells=3)
    assert math.isnan(found.value)
    assert [cell.counted for cell in found.cells] == [False] * 3
    assert sorted(cell.generated for cell in found.cells) == [0, 0, 100]
    few = ct_score(held_out[:20], train, held_out, norm="l2", cells=3)
    assert math.isnan(few.value)  # more than 20 are asked for
    assert not math.isnan(ct_score(held_out[:21], train, held_out, norm="l2", cells=3).value)
    assert not math.isnan(
        ct_score(held_out[:20], train, held_out, norm="l2", cells=3, tau=0.5).value
    )


def test_fewer_images_than_cells() -> None:
    train = draw(4, 2, seed=1).repeat(5, 1)
    found = ct_score(train, train, train, norm="l1", cells=9, tau=0.0)
    assert len(found.cells) == 4
    assert found.value == 0.0


def test_seed_and_large_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLUSTERED", 50)
    monkeypatch.setattr(byte_search, "_BLOCK_ELEMENTS", 64)
    sets = [clusters(200, seed=s) for s in (1, 2, 3)]
    one, same = (ct_score(*sets, norm="l2", cells=6, seed=5) for _ in range(2))
    other = ct_score(*sets, norm="l2", cells=6, seed=6)
    assert one == same
    assert [cell.train for cell in one.cells] != [cell.train for cell in other.cells]
    assert sum(cell.train for cell in one.cells) == 200
