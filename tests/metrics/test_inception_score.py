"""1 for one answer to all, K for K sure answers; torch-fidelity's numbers; no image looked at."""

import math

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from ganstoch.metrics.inception_score import InceptionScore, inception_score, scores_of_parts


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sure_of(classes: Tensor, *, count: int, logit: float = 1e4) -> Tensor:
    return torch.nn.functional.one_hot(classes, count).double() * logit


@pytest.mark.parametrize(("n", "splits"), [(100, 10), (103, 10), (50, 1), (7, 7)])
def test_equal_to_torch_fidelity(n: int, splits: int) -> None:
    logits = 3 * draw(n, 12, seed=n)
    expected = isc_features_to_metric(logits, splits=splits, shuffle=False)
    score = scores_of_parts(logits, splits=splits)
    assert score.mean == pytest.approx(expected["inception_score_mean"], rel=1e-12)
    assert score.sd == pytest.approx(expected["inception_score_std"], rel=1e-9, abs=1e-12)


def test_the_same_answer_to_every_image_scores_one() -> None:
    for answer in (torch.zeros(1, 7), draw(1, 7, seed=1), sure_of(torch.tensor([3]), count=7)):
        score = inception_score(answer.expand(40, -1).float(), splits=4)
        assert score == pytest.approx((1.0, 0.0), abs=1e-12)


def test_sure_answers_score_the_number_of_classes() -> None:
    # The order given spreads classes evenly over the parts; four classes are in no answer.
    even = sure_of(torch.arange(60) % 5, count=9)
    assert scores_of_parts(even, splits=4) == pytest.approx((5.0, 0.0), rel=1e-12, abs=1e-12)
    uneven = sure_of(torch.tensor([0, 0, 0, 1]).repeat(10), count=2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert inception_score(uneven, splits=1).mean == pytest.approx(math.exp(entropy))


def test_images_sorted_by_class_need_shuffling() -> None:
    logits = sure_of(torch.arange(10).repeat_interleave(40), count=10, logit=20)
    assert scores_of_parts(logits, splits=10).mean == pytest.approx(1.0, abs=1e-5)
    assert inception_score(logits).mean > 8
    one, same, other = (inception_score(logits, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_refusals() -> None:
    for logits, splits in ((torch.zeros(9, 2), 10), (torch.zeros(9, 2), 0)):
        with pytest.raises(ValueError, match=f"cannot make {splits} splits"):
            inception_score(logits, splits=splits)
    with pytest.raises(ValueError, match="NaN or infinite"):
        inception_score(torch.full((9, 2), torch.nan), splits=1)
    with pytest.raises(ValueError, match="pixel_l1 names no classes"):
        InceptionScore("pixel")
