"""Both shares of memorized images: the published definitions, copies found, fresh images not."""

from collections.abc import Callable

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from ganstoch.metrics.l2_memorization import l2_memorization
from ganstoch.metrics.memorized_fraction import FlaggedShare, memorized_fraction


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def gap_ratio(generated: Tensor, train: Tensor) -> Tensor:
    """The share's program of Gu et al. 2023 and Bonnaire et al. 2025, small."""
    two = torch.cdist(generated, train).topk(2, dim=1, largest=False).values
    return two[:, 0] / two[:, 1] < 1 / 3


def extracted(generated: Tensor, train: Tensor) -> Tensor:
    """Carlini et al. 2023, Sec. 5.1, with n = 50 and alpha = 1/2."""
    near = torch.cdist(generated, train).topk(min(50, len(train)), dim=1, largest=False).values
    return near[:, 0] / (0.5 * near.mean(1)) < 1


both = pytest.mark.parametrize(
    ("measure", "reference"), [(memorized_fraction, gap_ratio), (l2_memorization, extracted)]
)


@both
@pytest.mark.parametrize("count", [2, 30, 200])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_published_definition(
    measure: Callable[..., FlaggedShare],
    reference: Callable[..., Tensor],
    count: int,
    as_bytes: bool,
) -> None:
    train, noise = draw(count, 8, seed=1), draw(300, 8, seed=2)
    near = train[torch.arange(300) % count] + noise * torch.linspace(0, 1.5, 300)[:, None]
    if as_bytes:
        train, near = (x.mul(40).add(128).clamp(0, 255).byte() for x in (train, near))
    expected = reference(near.double(), train.double())
    score = measure(near, train)
    count = int(expected.sum())
    assert 0 < count < 300
    assert score.share == pytest.approx(count / 300, abs=1e-12)
    exact = binomtest(count, 300).proportion_ci(method="exact")
    assert (score.low, score.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


@both
def test_copies_are_counted_and_fresh_images_are_not(
    measure: Callable[..., FlaggedShare], reference: object
) -> None:
    train, fresh = draw(500, 32, seed=3), draw(400, 32, seed=4)
    assert measure(fresh, train).share == 0
    mixed = torch.cat([train[:40] + 1e-3 * draw(40, 32, seed=5), fresh[40:]])
    score = measure(mixed, train)
    assert score.share == 0.1
    assert score.low < 0.1 < score.high
    # Units and rotations of the features change nothing.
    turn = torch.linalg.qr(draw(32, 32, seed=6)).Q
    assert measure(3 * mixed @ turn, 3 * train @ turn).share == 0.1


def test_a_training_image_that_occurs_twice_hides_its_copies() -> None:
    train = draw(100, 8, seed=7)
    copies = train[:10]
    assert memorized_fraction(copies, train).share == 1
    assert memorized_fraction(copies, torch.cat([train, train])).share == 0
    assert l2_memorization(copies, torch.cat([train, train])).share == 1  # by the other 48
    with pytest.raises(ValueError, match="k must be"):
        memorized_fraction(copies, train[:1])
    with pytest.raises(ValueError, match="k must be"):
        l2_memorization(copies, train[:1])
