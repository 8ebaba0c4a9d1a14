import itertools

import pytest
import torch

from ganstoch.data.subset import BatchSize, Sampling, draw_ids, resolve_batch_size, resolve_sampling
from ganstoch.errors import UserError


def draw(
    rule: Sampling, iteration: int, *, count: int = 10, m: int = 4, seed: int = 0
) -> list[int]:
    ids = draw_ids(rule, count=count, m=m, seed=seed, iteration=iteration)
    assert ids.dtype == torch.int64
    assert ids.shape == (m,)
    return list(ids.tolist())


@pytest.mark.parametrize("rule", ["with_replacement", "permutation"])
def test_depends_on_seed_and_iteration_alone(rule: Sampling) -> None:
    straight = [draw(rule, i) for i in range(12)]
    torch.manual_seed(1)
    backwards = [draw(rule, i) for i in reversed(range(12))]
    assert straight == backwards[::-1]
    assert len({tuple(ids) for ids in straight}) > 6
    assert straight != [draw(rule, i, seed=1) for i in range(12)]


@pytest.mark.parametrize("rule", ["with_replacement", "permutation"])
def test_repeats_are_further_draws(rule: Sampling) -> None:
    def repeated(iteration: int, repeat: int) -> list[int]:
        ids = draw_ids(rule, count=50, m=20, seed=0, iteration=iteration, repeat=repeat)
        return ids.tolist()

    draws = [repeated(i, r) for i in range(3) for r in range(4)]
    assert len({tuple(ids) for ids in draws}) == 12
    assert [repeated(i, r) for i in range(3) for r in range(4)] == draws
    assert [repeated(i, 0) for i in range(3)] == [draw(rule, i, count=50, m=20) for i in range(3)]


def test_draws_are_pinned() -> None:
    # What a published number was trained on must not move with a release of ours or of torch.
    assert draw("with_replacement", 3, count=1000, m=4, seed=1) == [702, 543, 847, 561]
    assert draw("permutation", 3, count=1000, m=4, seed=1) == [980, 390, 211, 75]


@pytest.mark.parametrize(("count", "m"), [(10, 4), (10, 5), (7, 7), (7, 3), (5, 1), (64, 63)])
def test_permutation_covers_each_epoch_exactly(count: int, m: int) -> None:
    batches = [draw("permutation", i, count=count, m=m) for i in range(3 * count)]
    sequence = list(itertools.chain.from_iterable(batches))
    epochs = [sequence[i : i + count] for i in range(0, len(sequence), count)]
    assert len(epochs) >= 3
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_exactly_once_leaves_nothing_to_chance() -> None:
    for iteration, seed in ((0, 0), (5, 0), (5, 9)):
        assert draw("exactly_once", iteration, count=6, m=6, seed=seed) == [0, 1, 2, 3, 4, 5]
    again = draw_ids("exactly_once", count=3, m=3, seed=0, iteration=0, repeat=1)
    assert again.tolist() == [0, 1, 2]
    assert draw("exactly_once", 0, count=3, m=6) == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("m", "n", "expected"),
    [
        *((50, 12_800, 50), (100, 100, 100), (1, 1, 1), ("50", 100, 50)),
        *(("n", 12_800, 12_800), ("n/1", 7, 7), ("n/4", 12_800, 3200), ("n / 64", 12_800, 200)),
        *(("n/3", 100, 33), ("n/256", 64, 1)),
    ],
)
def test_batch_size(m: BatchSize, n: int, expected: int) -> None:
    assert resolve_batch_size(m, n=n) == expected


@pytest.mark.parametrize(
    "m", [0, -1, 101, "101", "0", "n/0", "n/-2", "n/1.5", "2n", "k/4", "", "n/"]
)
def test_batch_size_must_fit(m: BatchSize) -> None:
    with pytest.raises(UserError, match=r"data\.m"):
        resolve_batch_size(m, n=100)


def test_full_batch_takes_every_image_once_unless_told_otherwise() -> None:
    assert resolve_sampling(None, m=4, n=4) == "exactly_once"
    assert resolve_sampling(None, m=3, n=4) == "with_replacement"
    assert resolve_sampling("with_replacement", m=4, n=4) == "with_replacement"
    assert resolve_sampling("permutation", m=3, n=4) == "permutation"
    with pytest.raises(UserError, match=r"data\.sampling"):
        resolve_sampling("exactly_once", m=3, n=4)
