"""1 for one answer to all, K for K sure answers; torch-fidelity's numbers; no image looked at."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from ganstoch.metrics.features import Inception
from ganstoch.metrics.inception_score import (
    Classifying,
    InceptionScore,
    inception_score,
    scores_of_parts,
)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sure_of(classes: Tensor, *, count: int, logit: float = 1e4) -> Tensor:
    return torch.nn.functional.one_hot(classes, count).double() * logit


@pytest.mark.parametrize(("n", "splits"), [(100, 10), (103, 10), (50, 1), (7, 7)])
def test_equal_to_torch_fidelity(n: int, splits: int) -> None:
    logits = 3 * draw(n, 12, seed=n)
    expected = isc_features_to_metric(logits, splits=splits, shuffle=False)
    found = scores_of_parts(logits, splits=splits)
    assert found.mean == pytest.approx(expected["inception_score_mean"], rel=1e-12)
    assert found.sd == pytest.approx(expected["inception_score_std"], rel=1e-9, abs=1e-12)


def test_the_same_answer_to_every_image_scores_one() -> None:
    for answer in (torch.zeros(1, 7), draw(1, 7, seed=1), sure_of(torch.tensor([3]), count=7)):
        found = inception_score(answer.expand(40, -1).float(), splits=4)
        assert found.mean == pytest.approx(1.0, abs=1e-12)
        assert found.sd < 1e-12


def test_sure_and_even_answers_score_the_number_of_classes() -> None:
    logits = sure_of(torch.arange(60) % 5, count=9)
    # The order given spreads classes evenly over the parts; four classes are in no answer.
    found = scores_of_parts(logits, splits=4)
    assert found.mean == pytest.approx(5.0, rel=1e-12)
    assert found.sd < 1e-12
    uneven = sure_of(torch.tensor([0, 0, 0, 1]).repeat(10), count=2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert inception_score(uneven, splits=1).mean == pytest.approx(math.exp(entropy))


def test_images_sorted_by_class_need_shuffling() -> None:
    logits = sure_of(torch.arange(10).repeat_interleave(40), count=10, logit=20)
    assert scores_of_parts(logits, splits=10).mean == pytest.approx(1.0, abs=1e-5)
    assert inception_score(logits).mean > 8
    assert inception_score(logits, seed=1) == inception_score(logits, seed=1)
    assert inception_score(logits, seed=1) != inception_score(logits, seed=2)


@pytest.mark.parametrize(
    ("logits", "splits", "message"),
    [
        (torch.zeros(9, 2), 10, "9 images cannot make 10 splits"),
        (torch.zeros(9, 2), 0, "cannot make 0 splits"),
        (torch.full((9, 2), torch.nan), 1, "NaN or infinite"),
    ],
)
def test_refused_logits(logits: Tensor, splits: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inception_score(logits, splits=splits)


def test_metric_refusals() -> None:
    with pytest.raises(ValueError, match="pixel_l1 names no classes"):
        InceptionScore("pixel")


def test_inceptions_logits_are_torch_fidelitys_and_need_no_second_pass(
    random_inception: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    rng = torch.Generator().manual_seed(1)
    images = torch.randint(256, (4, 3, 32, 32), generator=rng, dtype=torch.uint8)
    original = FeatureExtractorInceptionV3(
        "x", ["logits_unbiased"], feature_extractor_weights_path=str(random_inception)
    )
    expected = original(images)[0]
    extractor = Inception(random_inception)
    assert isinstance(extractor, Classifying)
    features = extractor(images)
    monkeypatch.setattr(Inception, "_features", None)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a trainer in half precision
        logits = extractor.logits(features)
    assert logits.shape == (4, 1008)
    assert torch.equal(logits, expected)
    assert logits.std() > 1e-3  # not equal because vanished
    theirs = isc_features_to_metric(expected, splits=2, shuffle=False)
    ours = scores_of_parts(logits, splits=2)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
