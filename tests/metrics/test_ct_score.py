"""C_T against its definition, its sign, and cells that do not count."""

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
    distances = [tree.kneighbors(x.numpy())[0][:, 0] for x in (generated, held_out)]
    m, n = len(generated), len(held_out)
    deviation = math.sqrt(m * n * (m + n + 1) / 12)
    u = mannwhitneyu(*distances, alternative="less").statistic
    return float((u - (m * n / 2 - 0.5)) / deviation - 0.5 / deviation)


def reference(sets: list[Tensor], places: list[Tensor], cells: int, least: int) -> float:
    """C_T of training, held-out and generated images from the cell that each is in."""
    values, weights = [], []
    for c in range(cells):
        t, p, q = (x[place == c] for x, place in zip(sets, places, strict=True))
        if len(q) > least:
            values.append(reference_z(t, p, q))
            weights.append(len(p))
    return float(np.average(values, weights=weights))


def test_equal_to_the_authors_program() -> None:
    train, held_out = clusters(600, seed=1), clusters(300, seed=2)
    generated = clusters(400, seed=3, weights=(0.7, 0.28, 0.02))  # about 8 in the third cell
    generated[:50] = train[:50]
    sets = [train, held_out, generated]
    score = ct_score(generated, train, held_out, norm="l2", cells=3)
    assert score.z == pytest.approx(reference_z(*sets))
    assert score.value == pytest.approx(reference(sets, [x.argmax(1) for x in sets], 3, 20))
    assert (score.counted, score.cells) == (2, 3)


def test_cells_that_touch_answer_for_their_own_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", 0)
    sets = [draw(200, 2, seed=s) for s in (1, 2, 3)]
    score = ct_score(sets[2], sets[0], sets[1], norm="l2", cells=8)
    places = [module._assign(x, module._centres(sets[0], cells=8, seed=0)) for x in sets]
    assert score.value == pytest.approx(reference(sets, places, 8, 0))


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

    assert abs(value(others)) < 3
    mixtures = []
    for share in (0.01, 0.1, 0.5, 1.0):
        count = round(500 * share)
        mixtures.append(value(torch.cat([train[:count] + 1e-3 * noise[:count], others[count:]])))
    assert mixtures == sorted(mixtures, reverse=True)
    assert mixtures[-1] < -10
    assert value(train[:1].expand(500, -1)) < -10  # copy one
    assert value(others + 3 * noise) > 5  # underfitted
    assert abs(value(others[others[:, 0] > 50])) < 3  # dropping modes is no copying


def test_cells_without_images_do_not_count() -> None:
    train, held_out = clusters(300, seed=1), clusters(200, seed=2, weights=(1.0, 0.0, 0.0))
    elsewhere = clusters(100, seed=3, weights=(0.0, 0.0, 1.0))
    # Of generated images in a cell, more than 20 are asked for.
    for generated, counted in ((elsewhere, 0), (held_out[:20], 0), (held_out[:21], 1)):
        score = ct_score(generated, train, held_out, norm="l2", cells=3)
        assert (score.counted, math.isnan(score.value)) == (counted, counted == 0)


def test_fewer_images_than_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", 0)
    train = draw(4, 2, seed=1).repeat(5, 1)
    score = ct_score(train, train, train, norm="l1", cells=9)
    assert (score.value, score.counted, score.cells) == (0.0, 4, 4)


def test_seed_and_large_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLUSTERED", 50)
    monkeypatch.setattr(byte_search, "_BLOCK_ELEMENTS", 64)
    sets = [clusters(200, seed=s) for s in (1, 2, 3)]
    one, same, other = (ct_score(*sets, norm="l2", cells=6, seed=seed) for seed in (5, 5, 6))
    assert one == same != other
