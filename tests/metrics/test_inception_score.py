"""1 for one answer to all, K for K sure answers; torch-fidelity's numbers; no image looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.metric_isc import isc_features_to_metric

from ganstoch.metrics.features import Inception, Pixels
from ganstoch.metrics.inception_score import Classifying, InceptionScore, inception_score


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sure_of(classes: Tensor, *, count: int, logit: float = 1e4) -> Tensor:
    return torch.nn.functional.one_hot(classes, count).double() * logit


@pytest.mark.parametrize(("n", "splits"), [(100, 10), (103, 10), (50, 1), (7, 7)])
def test_equal_to_torch_fidelity(n: int, splits: int) -> None:
    logits = 3 * draw(n, 12, seed=n)
    expected = isc_features_to_metric(logits, splits=splits, shuffle=False)
    found = inception_score(logits, splits=splits, shuffled=False)
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
    found = inception_score(logits, splits=4, shuffled=False)
    assert found.mean == pytest.approx(5.0, rel=1e-12)
    assert found.sd < 1e-12
    uneven = sure_of(torch.tensor([0, 0, 0, 1]).repeat(10), count=2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert inception_score(uneven, splits=1).mean == pytest.approx(math.exp(entropy))


def test_probabilities_in_between() -> None:
    """Half the images 0.9 to 0.1, half the reverse: exp of ln 2 less the entropy of 0.9."""
    logit = math.log(9)
    logits = torch.tensor([[logit, 0.0], [0.0, logit]], dtype=torch.float64).repeat(10, 1)
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    expected = math.exp(math.log(2) - entropy)
    assert inception_score(logits, splits=1).mean == pytest.approx(expected, rel=1e-12)


def test_images_sorted_by_class_need_shuffling() -> None:
    logits = sure_of(torch.arange(10).repeat_interleave(40), count=10, logit=20)
    assert inception_score(logits, shuffled=False).mean == pytest.approx(1.0, abs=1e-5)
    assert inception_score(logits).mean > 8
    assert inception_score(logits, seed=1) == inception_score(logits, seed=1)
    assert inception_score(logits, seed=1) != inception_score(logits, seed=2)


def test_blind_to_a_constant_and_to_the_order_of_classes() -> None:
    logits = 2 * draw(50, 6, seed=2)
    score = inception_score(logits, splits=5)
    moved = inception_score(logits + draw(50, 1, seed=3) * 10, splits=5)
    assert moved.mean == pytest.approx(score.mean, rel=1e-5)
    assert inception_score(logits.flip(1), splits=5).mean == pytest.approx(score.mean)
    assert 1 < score.mean < 6


@pytest.mark.parametrize(
    ("logits", "splits", "message"),
    [
        (torch.zeros(9, 2), 10, "9 images cannot make 10 splits"),
        (torch.zeros(9, 2), 0, "cannot make 0 splits"),
        (torch.zeros(9), 1, r"floats \(N, C\)"),
        (torch.zeros(9, 2).long(), 1, "got torch.int64"),
        (torch.full((9, 2), torch.nan), 1, "NaN or infinite"),
        (torch.full((9, 2), torch.inf), 1, "NaN or infinite"),
    ],
)
def test_refused_logits(logits: Tensor, splits: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inception_score(logits, splits=splits)


class Brightness(Pixels):
    """Three classes by three pixels; says so with more or less conviction."""

    name = "brightness"

    def logits(self, features: Tensor) -> Tensor:
        return features.float() / 10


def test_metric_looks_at_generated_images_only() -> None:
    metric = InceptionScore(Brightness(), splits=2)
    generated = torch.eye(3).mul(255).byte().repeat(20, 1).reshape(60, 3, 1, 1)
    metric.update(torch.zeros(5, 3, 1, 1, dtype=torch.uint8), real=True)
    metric.update(generated[:7], real=False)
    metric.update(generated[7:], real=False)
    values = metric.compute()
    assert list(values) == ["inception_score/brightness/mean", "inception_score/brightness/sd"]
    expected = inception_score(generated.flatten(1).float() / 10, splits=2)
    assert values["inception_score/brightness/mean"].item() == expected.mean > 2.5
    assert values["inception_score/brightness/sd"].item() == expected.sd
    # What the score cannot see: one image a class, repeated, is as good as any.
    copies = InceptionScore(Brightness(), splits=1)
    copies.update(generated[:3].repeat(20, 1, 1, 1), real=False)
    assert copies.compute()["inception_score/brightness/mean"] == pytest.approx(3)


def test_metric_refusals() -> None:
    with pytest.raises(ValueError, match="pixel_l1 names no classes"):
        InceptionScore("pixel")
    with pytest.raises(ValueError, match="splits must be at least 1"):
        InceptionScore(Brightness(), splits=0)
    metric = InceptionScore(Brightness())
    with pytest.raises(ValueError, match="does not look at held-out images"):
        metric.update(torch.zeros(1, 3, 1, 1), real=True, held_out=True)
    metric.update(torch.zeros(1, 3, 1, 1), real=True)
    with pytest.raises(ValueError, match="no generated images yet"):
        metric.compute()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The FID network with random weights: 96 MB on disk, none of them downloaded."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
            pass

    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save({}, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Unloaded("x", ["2048"], feature_extractor_weights_path=str(path))
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # the default draw lets features vanish
                nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


def test_inceptions_logits_are_torch_fidelitys_and_need_no_second_pass(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    rng = torch.Generator().manual_seed(1)
    images = torch.randint(256, (4, 3, 32, 32), generator=rng, dtype=torch.uint8)
    original = FeatureExtractorInceptionV3(
        "x", ["logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    expected = original(images)[0]
    extractor = Inception(weights)
    assert isinstance(extractor, Classifying)
    features = extractor(images)
    monkeypatch.setattr(Inception, "_features", None)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a trainer in half precision
        logits = extractor.logits(features)
    assert logits.shape == (4, 1008)
    assert torch.equal(logits, expected)
    assert logits.std() > 1e-3  # not equal because vanished
    theirs = isc_features_to_metric(expected, splits=2, shuffle=False)
    ours = inception_score(logits, splits=2, shuffled=False)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
