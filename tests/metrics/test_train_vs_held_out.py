"""The share in closed form, p under the null, and what it takes to see a few copies."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from ganstoch.metrics import copy_score
from ganstoch.metrics import train_vs_held_out as module
from ganstoch.metrics.train_vs_held_out import train_vs_held_out
from ganstoch.types import Neighbours


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search without what makes it fit for large sets, for hundreds of small ones."""

    def search(query: Tensor, bank: Tensor, *, norm: str) -> Neighbours:
        found = torch.cdist(query.double(), bank.double(), p=float(norm[1])).min(1)
        return Neighbours(distances=found.values, ids=found.indices)

    monkeypatch.setattr(module, "nearest_neighbours", search)
    monkeypatch.setattr(copy_score, "nearest_neighbours", search)


def line(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_share_is_averaged_over_thinnings_that_use_every_image() -> None:
    score = train_vs_held_out(line(0.1, 0.9, 0.5, 0.2), line(0, 9), line(1, -9), norm="l1")
    assert score.share == (1 + 0 + 0.5 + 1) / 4
    assert score.low <= score.share <= score.high
    # Thinned to one of four: 10, 20 and 30 are nearer to 20 than 5 is, and 0 is not.
    four, one = line(0, 10, 20, 30), line(5)
    assert train_vs_held_out(line(20, 20), four, one, norm="l2").share == 0.75
    assert train_vs_held_out(line(20, 20), one, four, norm="l2").share == 0.25


@pytest.mark.parametrize("count", [700, 150, 50])
@pytest.mark.usefixtures("quick")
def test_more_training_than_held_out_images_are_no_advantage(count: int) -> None:
    shares = []
    for seed in range(20):
        sizes = enumerate((count, 100, 200))
        train, held_out, made = (draw(n, 4, seed=3 * seed + i) for i, n in sizes)
        shares.append(train_vs_held_out(made, train, held_out, norm="l2", permutations=1).share)
    assert sum(shares) / len(shares) == pytest.approx(0.5, abs=0.025)


@pytest.mark.parametrize(
    ("sizes", "spread"),
    [
        pytest.param((60, 60, 80), 1.0, id="equal"),
        pytest.param((120, 40, 80), 1.0, id="more training images"),
        pytest.param((40, 120, 80), 1.0, id="more held-out images"),
        pytest.param((80, 80, 80), 0.3, id="a generator that drops modes"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_p_is_uniform_under_the_null(sizes: tuple[int, int, int], spread: float) -> None:
    p_values = []
    for seed in range(120):
        train, held_out, generated = (draw(n, 4, seed=1000 * seed + i) for i, n in enumerate(sizes))
        # Images that the world repeats, in one set or both, are no sign either.
        train[:5], held_out[:3] = draw(5, 4, seed=seed), draw(3, 4, seed=seed)
        score = train_vs_held_out(
            spread * generated, train, held_out, norm="l2", permutations=99, seed=seed
        )
        p_values.append(score.p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert sum(p <= 0.05 for p in p_values) <= 14  # 6 expected


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.usefixtures("quick")
def test_one_copy_in_a_hundred_is_seen(noise: float) -> None:
    seen, shares = 0, []
    for seed in range(8):
        train, held_out, made = (draw(1000, 20, seed=10 * seed + i) for i in range(3))
        made[:10] = train[:10] + noise * made[:10]
        score = train_vs_held_out(made, train, held_out, norm="l2", permutations=199, seed=seed)
        seen += score.p_value <= 0.05
        shares.append(score.share)
    assert seen >= 7
    assert all(abs(share - 0.5) < 0.08 for share in shares)


def test_direction() -> None:
    train, held_out = draw(200, 8, seed=1), draw(200, 8, seed=2)
    near = train + 0.3 * draw(200, 8, seed=3)
    copied = train_vs_held_out(near, train, held_out, norm="l2")
    assert copied.share > 0.95
    assert copied.low > 0.9
    assert copied.p_value == 0.001
    other = train_vs_held_out(near, held_out, train, norm="l2")
    assert other.share == pytest.approx(1 - copied.share)
    assert other.p_value == 1.0


def test_the_order_of_the_sets_does_not_break_ties() -> None:
    train = draw(100, 4, seed=1)
    score = train_vs_held_out(train[:50], train, train.clone(), norm="l2")
    assert score.share == 0.5
    assert score.p_value > 0.02


def test_seed_and_permutations() -> None:
    sets = [draw(n, 4, seed=n) for n in (60, 90, 40)]
    one, same, other = (train_vs_held_out(*sets, norm="l2", seed=s) for s in (1, 1, 2))
    assert one == same != other
    with pytest.raises(ValueError, match="permutations"):
        train_vs_held_out(*sets, norm="l2", permutations=0)
