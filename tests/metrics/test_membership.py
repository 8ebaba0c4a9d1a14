"""Membership evidence: scikit-learn's curve, honest without memorization, sure of it with."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from ganstoch.metrics.membership import membership, membership_from


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("sizes", [(300, 250), (150, 40)])
def test_the_curve_of_scikit_learn(sizes: tuple[int, int], ties: bool) -> None:
    train, held_out = draw(sizes[0], seed=1).abs(), draw(sizes[1], seed=2).abs() + 0.3
    if ties:
        train, held_out = (4 * train).floor(), (4 * held_out).floor()
    score = membership_from(train, held_out)
    truth = np.repeat([1, 0], sizes)
    called = -torch.cat([train, held_out]).numpy()
    assert score.auc == pytest.approx(roc_auc_score(truth, called), abs=1e-12)
    wrongly, rightly, _ = roc_curve(truth, called, drop_intermediate=False)
    assert score.tpr == pytest.approx(rightly[wrongly <= 0.01].max(), abs=1e-12)
    assert score.auc_low < score.auc < score.auc_high
    assert score.tpr_low <= score.tpr <= score.tpr_high


def test_from_features_it_is_the_nearest_generated_image() -> None:
    train, held_out, made = (draw(n, 5, seed=n) for n in (60, 50, 40))
    near = (torch.cdist(rows, made).amin(1) for rows in (train, held_out))
    assert membership(made, train, held_out, norm="l2") == membership_from(*near)


def test_power() -> None:
    train, held_out, made = (draw(400, 8, seed=seed) for seed in (3, 4, 5))
    copies = torch.cat([train[:80] + 0.01 * made[:80], made[80:]])
    none, some = (membership(rows, train, held_out, norm="l2") for rows in (made, copies))
    assert none.p_value > 0.01
    assert none.auc_low < 0.5 < none.auc_high
    assert none.tpr < 0.05
    assert some.p_value == 0.001
    assert some.tpr >= 0.2
    assert some.tpr_low > 0.12
    assert some.auc_low > 0.5
    full = membership(train, train, held_out, norm="l2")
    assert (full.auc, full.tpr) == (1.0, 1.0)


@pytest.mark.parametrize("per_group", [1, 20])
def test_honest_without_memorization(per_group: int) -> None:
    """Where all distances of a group are nearly one, the test must hold its level."""
    low = covered = 0
    for seed in range(100):
        each = draw(40 if per_group > 1 else 200, seed=seed).repeat_interleave(per_group)
        near = (each + 0.1 * draw(len(each), seed=1000 + seed)).exp()
        groups, half = torch.arange(len(near)) // per_group, len(near) // 2
        score = membership_from(near[:half], near[half:], groups=groups, seed=seed)
        low += score.p_value <= 0.05
        covered += score.auc_low <= 0.5 <= score.auc_high
    assert low <= 12  # 5 % of 100, and 3 standard errors
    assert covered >= 84  # 92 %, less 3; of 20 groups a side the bootstrap is a little narrow
    alone = membership_from(near[:half], near[half:])
    assert alone.auc == score.auc
    if per_group > 1:  # images taken one by one say more than they know
        assert score.auc_high - score.auc_low > 3 * (alone.auc_high - alone.auc_low)
