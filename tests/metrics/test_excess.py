"""Counts against their textbook laws, and how often intervals and tests are right."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, fisher_exact

from ganstoch.metrics.excess import Excess, clopper_pearson, design_effect


@pytest.mark.parametrize(("count", "total"), [(0, 500), (1, 20), (25, 500), (20, 20), (3, 7)])
@pytest.mark.parametrize("level", [0.95, 0.999])
def test_clopper_pearson_inverts_the_binomial_test(count: int, total: int, level: float) -> None:
    expected = binomtest(count, total).proportion_ci(confidence_level=level, method="exact")
    assert clopper_pearson(count, total, level=level) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


def test_none_of_500_may_be_seven_in_a_thousand() -> None:
    assert clopper_pearson(0, 500)[1] == pytest.approx(1 - 0.025 ** (1 / 500))
    none = Excess(count=0, total=500, usual=0, usual_total=1000)
    assert none.high == pytest.approx(0.00735, abs=1e-5)
    assert (none.estimate, none.low, none.p_value) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("counts", [(25, 500, 0, 1000), (3, 20, 1, 20), (0, 9, 4, 9), (7, 7, 2, 9)])
def test_the_test_is_fishers(counts: tuple[int, int, int, int]) -> None:
    k, m, j, r = counts
    expected = fisher_exact([[k, m - k], [j, r - j]], alternative="greater").pvalue
    found = Excess(count=k, total=m, usual=j, usual_total=r).p_value
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.02, 0.1, 0.5])
@pytest.mark.parametrize(
    ("made", "real", "natural"), [(500, 1000, 0.0), (500, 1000, 0.01), (200, 50, 0.02)]
)
def test_the_interval_covers_the_share(share: float, made: int, real: int, natural: float) -> None:
    rng = np.random.default_rng(0)
    rate = share + (1 - share) * natural
    counts = zip(rng.binomial(made, rate, 2000), rng.binomial(real, natural, 2000), strict=True)
    held = 0
    for k, j in counts:
        found = Excess(count=int(k), total=made, usual=int(j), usual_total=real)
        assert 0 <= found.low <= found.estimate <= found.high_beyond <= found.high <= 1
        held += found.low <= share <= found.high_beyond
    assert held >= 0.94 * 2000


@pytest.mark.parametrize("usual", [0, 10, 200])
def test_what_is_detectable_is_detected_as_often_as_it_says(usual: int) -> None:
    nothing = Excess(count=0, total=500, usual=usual, usual_total=1000)
    share = nothing.detectable(0.002)
    assert share is not None
    rng = np.random.default_rng(0)

    def power(share: float) -> float:
        counts = rng.binomial(500, share + (1 - share) * nothing.natural, 1000)
        return float(np.mean([replace(nothing, count=int(k)).p_value <= 0.002 for k in counts]))

    assert 0.93 <= power(share) <= 0.99
    assert power(share / 2) < 0.8


def test_of_too_few_images_nothing_is_detectable() -> None:
    assert Excess(count=0, total=3, usual=0, usual_total=3).detectable(0.002) is None
    everyone = Excess(count=9, total=9, usual=9, usual_total=9)
    assert (everyone.estimate, everyone.low, everyone.detectable(0.002)) == (0.0, 0.0, None)


def test_groups_say_less() -> None:
    assert design_effect(torch.tensor([0, 1, 2])) == 1.0
    assert design_effect(torch.tensor([4, 4, 9, 9])) == 2.0
    assert design_effect(torch.tensor([1, 1, 1, 2])) == 2.5
    assert design_effect(torch.tensor([], dtype=torch.int64)) == 1.0
    pairs = Excess(count=10, total=100, usual=40, usual_total=200).by_groups(2.0)
    assert (pairs.count, pairs.total, pairs.usual, pairs.usual_total) == (10, 100, 20, 100)
