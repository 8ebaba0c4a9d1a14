"""Inception score: how sure a classifier is of each image, and how varied its answers are.

[1] Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, Sec. 4.
[2] Barratt, Sharma 2018, "A Note on the Inception Score", arXiv:1801.01973.

With p(c|x) the class probabilities of an image and p(c) their mean over the images, the score is
exp(mean over x of KL(p(.|x) || p)), from 1 (the same answer to every image) to the number of
classes. It never looks at the data: a generator that copies them, or one that makes one perfect
image of each class, scores as well as any [2].
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple, Protocol, Unpack, runtime_checkable

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Options
from ganstoch.metrics.features import Extractor, FeatureSpace
from ganstoch.rng import rng_for


@runtime_checkable
class Classifying(Protocol):
    """An extractor whose features name a class, such as `Inception`."""

    def logits(self, features: Tensor) -> Tensor:
        """Class scores (N, C) of features (N, F)."""


class SplitScores(NamedTuple):
    """Mean and standard deviation of the scores of the parts that the images were split into."""

    mean: float
    sd: float


def inception_score(
    logits: Tensor, *, splits: int = 10, seed: int = 0, shuffled: bool = True
) -> SplitScores:
    """The score [1] of each of several parts of the images, as torch-fidelity reports it.

    A part of few images scores low, as its p(c) is made of few answers: scores compare between
    equally many images in equally many splits (usually 50,000 in 10).

    Args:
        logits: class scores, shape (N, C), floating, N at least ``splits``; scores are in [1, C].
        splits: number of parts, of equal size up to one image.
        seed: decides which images go to which part.
        shuffled: False takes the parts in the order given. Images that come sorted by class must
            be shuffled: else every part has few classes, and scores low.
    """
    if logits.ndim != 2 or logits.numel() == 0 or not logits.is_floating_point():
        raise ValueError(f"logits must be floats (N, C), got {logits.dtype} {tuple(logits.shape)}")
    if not 1 <= splits <= len(logits):
        raise ValueError(f"{len(logits)} images cannot make {splits} splits")
    if not torch.isfinite(logits).all():
        raise ValueError("logits contain NaN or infinite values")
    rows = logits.detach().to("cpu", torch.float64)
    if shuffled:
        rng = rng_for(seed, "evaluation", part="inception score")
        rows = rows[torch.randperm(len(rows), generator=rng)]
    borders = [i * len(rows) // splits for i in range(splits + 1)]
    scores = [_score(rows[start:end]) for start, end in itertools.pairwise(borders)]
    values = torch.tensor(scores, dtype=torch.float64)
    return SplitScores(values.mean().item(), values.std(correction=0).item())


def _score(logits: Tensor) -> float:
    log_p = logits.log_softmax(dim=1)
    log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))
    divergence = (log_p.exp() * (log_p - log_mean)).sum(dim=1)
    return divergence.mean().exp().item()


class InceptionScore(FeatureMetric):
    """The Inception score [1] of generated images, as a `torchmetrics.Metric`.

    ``compute`` returns two float64 scalars, ``inception_score/<extractor>/{mean,sd}``, over the
    splits. Real images may be given, as to the other metrics, and are not looked at.

    Args:
        features: an `Extractor` that is `Classifying`, or "inception", whose 1,008 class scores are
            taken without their bias, as in the score's first program.
        splits: number of parts; the score of few images in many parts is low.
        options: ``seed`` decides which images go to which part.
    """

    higher_is_better = True
    sides = ("generated",)

    def __init__(
        self,
        features: Extractor | FeatureSpace = "inception",
        *,
        splits: int = 10,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(features, **options)
        if not isinstance(self.extractor, Classifying):
            raise ValueError(f"{self.extractor.name} names no classes; the score needs inception")
        self.splits = splits

    def update(self, images: Tensor, *, real: bool, held_out: bool = False) -> None:
        """Adds generated images; real ones are passed over."""
        if held_out or not real:
            super().update(images, real=real, held_out=held_out)

    def measure(self, generated: Tensor) -> dict[str, float]:
        """Mean and standard deviation over the splits."""
        assert isinstance(self.extractor, Classifying)
        logits = self.extractor.logits(generated)
        self.result = inception_score(logits, splits=self.splits, seed=self.seed)
        key = f"inception_score/{self.extractor.name}"
        return {f"{key}/mean": self.result.mean, f"{key}/sd": self.result.sd}
