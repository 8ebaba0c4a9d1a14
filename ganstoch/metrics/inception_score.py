"""Inception score: how sure a classifier is of each image, and how varied its answers are.

[1] Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, Sec. 4.
[2] Barratt, Sharma 2018, "A Note on the Inception Score", arXiv:1801.01973.

With p(c|x) the class probabilities of an image and p(c) their mean over the images, the score is
exp(mean over x of KL(p(.|x) || p)), from 1 to the number of classes. It ignores the data [2].
"""

import itertools
import math
from typing import Protocol, Unpack, runtime_checkable

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, MeanSd, Options
from ganstoch.metrics.neighbours.byte_search import as_rows
from ganstoch.rng import rng_for


@runtime_checkable
class Classifying(Protocol):
    """An extractor whose features name a class, such as `Inception`."""

    def logits(self, features: Tensor) -> Tensor:
        """Class scores (N, C) of features (N, F)."""


def inception_score(logits: Tensor, *, splits: int = 10, seed: int = 0) -> MeanSd:
    """The score [1], in [1, C], of each of several random parts of class scores (N, C)."""
    rng = rng_for(seed, "evaluation", part="inception score")
    return scores_of_parts(logits[torch.randperm(len(logits), generator=rng)], splits=splits)


def scores_of_parts(logits: Tensor, *, splits: int) -> MeanSd:
    """`inception_score` of parts in the order given, as torch-fidelity computes it."""
    (rows,) = as_rows(logits=logits)
    if not 1 <= splits <= len(rows):
        raise ValueError(f"{len(rows)} images cannot make {splits} splits")
    rows = rows.to("cpu", torch.float64)
    borders = [i * len(rows) // splits for i in range(splits + 1)]
    return MeanSd.of([_score(rows[start:end]) for start, end in itertools.pairwise(borders)])


def _score(logits: Tensor) -> float:
    log_p = logits.log_softmax(dim=1)
    log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_mean)).sum(dim=1).mean().exp().item()


class InceptionScore(FeatureMetric):
    """The Inception score [1] of generated images: ``inception_score/<extractor>/{mean,sd}``.

    Over the splits, at least 1. Real images may be given, and are not looked at.

    Args:
        features: an `Extractor` that is `Classifying`, or "inception", whose 1,008 class scores are
            taken without their bias, as in the score's first program.
        splits: number of parts; the score of few images in many parts is low.
        seed: decides which images go to which part.
    """

    default_features = "inception"
    higher_is_better = True
    sides = ("generated",)

    def __init__(
        self, features: Features = None, *, splits: int = 10, **options: Unpack[Options]
    ) -> None:
        super().__init__(features, **options)
        self._at_least(1, splits=splits)
        if not isinstance(self.extractor, Classifying):
            raise ValueError(f"{self.extractor.name} names no classes; the score needs inception")
        self.splits = splits

    def _measure(self, generated: Tensor) -> dict[str, float]:
        assert isinstance(self.extractor, Classifying)
        logits = self.extractor.logits(generated)
        self.result = inception_score(logits, splits=self.splits, seed=self.seed)
        return self._named("inception_score", self.result, "mean", "sd")
