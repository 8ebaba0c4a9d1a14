import math

import pytest
import torch

from ganstoch.metrics.birthday import calibrate, collisions, estimate_support
from ganstoch.rng import rng_for


def uniform(kinds: int, count: int) -> torch.Tensor:
    """Draws from as many points, far from each other, on a diagonal of 3 dimensions."""
    rng = rng_for(0, "evaluation", part="test")
    return torch.randint(kinds, (count, 1), generator=rng).expand(-1, 3).float()


@pytest.mark.parametrize(("kinds", "size"), [(365, 23), (20, 4), (20, 8), (2, 2), (3, 4)])
def test_collisions_come_as_often_as_birthdays(kinds: int, size: int) -> None:
    expected = 1 - math.prod(1 - i / kinds for i in range(size))
    share = collisions(uniform(kinds, 2000), size=size, threshold=0.5, repeats=500)
    assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / 500)


def test_the_threshold_decides_what_is_the_same() -> None:
    features = torch.arange(100.0)[:, None]  # a batch of 2 is never nearer than 1
    for size, threshold, share in ((2, 0.999, 0), (2, 99, 1), (100, 1.0, 1), (100, 0.999, 0)):
        assert collisions(features, size=size, threshold=threshold) == share


def test_calibration_lets_few_real_batches_collide() -> None:
    real = torch.randn(500, 4, generator=rng_for(0, "evaluation", part="real"))
    threshold = calibrate(real, size=20, quantile=0.05, repeats=400)
    # Other batches of the same images: 5 %, give or take.
    assert 0.01 < collisions(real, size=20, threshold=threshold, repeats=400) < 0.1
    # Of 2 points alone the distance is |x - y|, and all batches are the same.
    assert calibrate(torch.tensor([[1.0], [4.0]]), size=2) == 3.0
    # Nearest pairs of larger batches are nearer.
    assert calibrate(real, size=100) < calibrate(real, size=10)


@pytest.mark.parametrize("kinds", [1, 2, 10, 100, 400])
def test_support_covers_the_truth(kinds: int) -> None:
    support = estimate_support(uniform(kinds, 1500))
    assert support.low <= kinds <= support.high
    assert support.low <= support.estimate <= support.high
    if kinds > 10:
        assert support.probability >= 0.5
        assert abs(support.size / (1.1774 * math.sqrt(kinds)) - 1) < 0.2  # sqrt(2 ln 2) = 1.1774


def test_formula_at_a_known_probability() -> None:
    # Two kinds, a million each of them: batches of 2 collide half of the time.
    support = estimate_support(torch.tensor([0.0, 1.0]).repeat(500)[:, None], repeats=2000)
    expected = ((3, 2.0), (2, pytest.approx(1 / support.probability)))
    assert (support.size, support.estimate) in expected


def test_a_generator_that_never_repeats_itself() -> None:
    support = estimate_support(torch.arange(200.0)[:, None])
    assert (support.size, support.probability) == (200, 0.0)
    assert support.estimate == support.high == math.inf
    # One batch of all 200 says little: by Wilson, p may be z^2 / (1 + z^2) = 0.79.
    assert support.low == pytest.approx(200 * 199 / (2 * math.log(1 + 1.96**2)), rel=0.02)


def test_against_real_images() -> None:
    rng = rng_for(0, "evaluation", part="pictures")
    real, few = torch.randn(300, 8, generator=rng), torch.randn(20, 8, generator=rng)
    copies = few.repeat(15, 1) + 1e-3 * torch.randn(300, 8, generator=rng)
    # The threshold alone makes a few of the twenty the same.
    assert 10 < estimate_support(copies, real=real).estimate < 30
    fresh = estimate_support(torch.randn(300, 8, generator=rng), real=real)
    assert (fresh.size, fresh.probability < 0.5, fresh.low > 1000) == (60, True, True)


def test_a_function_of_the_seed_alone() -> None:
    features, state = uniform(50, 300), torch.get_rng_state()
    one, again, other = (estimate_support(features, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert torch.equal(torch.get_rng_state(), state)


def test_refusals() -> None:
    for size in (1, 11):
        with pytest.raises(ValueError, match=f"size must be 2 .. 10, got {size}"):
            collisions(torch.zeros(10, 2), size=size, threshold=0.0)
    for count, real in ((1, None), (5, torch.zeros(9, 2))):
        with pytest.raises(ValueError, match="at least 2 images, and 10 real ones"):
            estimate_support(torch.zeros(count, 2), real=real)
