"""Whether generated images fall on other classes than real ones, by a classifier that learns them.

A ridge regression learns the classes from four fifths of the labelled training images and predicts
those of a fifth of all others [1]. Hotelling's T^2 compares the mean predictions on either side,
labels permuted within the fifths: it sees more than counts of the likeliest class do [2].

[1] Lipton, Wang, Smola 2018, "Detecting and correcting for label shift with black box predictors",
    arXiv:1802.03916.
[2] Rabanser, Guennemann, Lipton 2019, "Failing loudly", arXiv:1810.11953.
"""

import numpy as np
import torch
from torch import Tensor

from ganstoch.auditing.searches import sample_ids
from ganstoch.rng import rng_for

_FOLDS = 5
_TRAINED = 3000  # most images that a classifier learns from
_RIDGE = 3.0  # of the mean eigenvalue: few images, many features
_SHARPNESS = 8.0  # answers of a regression on 0 and 1 as logarithms of odds
_PERMUTATIONS = 3999


def label_shift(
    features: Tensor,
    classes: Tensor,
    is_made: Tensor,
    *,
    together: Tensor,
    design: float = 1.0,
    seed: int,
) -> tuple[float, Tensor]:
    """The p-value that all fall on the same classes, and each image's likeliest class, (N,).

    Features (N, F), float64, are of training images (T,) of ``classes`` first, then of any others,
    some of which ``is_made`` calls generated; training images ``together`` stay in one fold. So
    many real images, ``design``, say no more than one.
    """
    rng = rng_for(seed, "evaluation", part="audit/classes/folds")
    names, members = torch.unique(together, return_inverse=True)
    of_groups = torch.randperm(len(names), generator=rng) % _FOLDS
    of_others = torch.randperm(len(features) - len(together), generator=rng) % _FOLDS
    folds = torch.cat([of_groups[members], of_others])
    answers = torch.empty(len(features), int(classes.max()) + 1, dtype=torch.float64)
    for fold in range(_FOLDS):
        rest, learnt = folds == fold, (folds[: len(classes)] != fold).nonzero()[:, 0]
        learnt = learnt[sample_ids(len(learnt), _TRAINED, seed=seed, part=f"classes/{fold}")]
        known, count = (features[learnt], classes[learnt]), answers.shape[1]
        answers[rest] = _answers(*known, features[rest], count)
    return _hotelling(answers, is_made, folds, design=design, seed=seed), answers.argmax(1)


def _answers(learnt: Tensor, classes: Tensor, rest: Tensor, count: int) -> Tensor:
    mean, spread = learnt.mean(0), learnt.std(0, correction=0).clamp(min=1e-6)
    scaled = (learnt - mean) / spread
    targets = torch.nn.functional.one_hot(classes, count).double()
    usual = targets.mean(0)
    kernel = scaled @ scaled.T
    kernel.diagonal().add_(_RIDGE * kernel.diagonal().mean().clamp(min=1e-9))
    weights = scaled.T @ torch.linalg.solve(kernel, targets - usual)
    soft: Tensor = (_SHARPNESS * ((rest - mean) / spread @ weights + usual)).softmax(1)
    return soft


def _hotelling(
    answers: Tensor, is_made: Tensor, folds: Tensor, *, design: float, seed: int
) -> float:
    """The p-value that the mean answers differ, labels permuted within the folds."""
    rng = np.random.default_rng(seed)
    centred = torch.empty_like(answers)
    for fold in range(_FOLDS):
        own = folds == fold
        centred[own] = answers[own] - answers[own].mean(0)
    metric = torch.linalg.pinv(centred.T @ centred / len(centred), rtol=1e-4, hermitian=True)
    true = centred[is_made].sum(0)
    sums = torch.zeros(_PERMUTATIONS, answers.shape[1], dtype=torch.float64)
    for fold in range(_FOLDS):
        own = folds == fold
        labels = np.broadcast_to(is_made[own].numpy(), (_PERMUTATIONS, int(own.sum())))
        sums += torch.from_numpy(rng.permuted(labels, axis=1)).double() @ centred[own]
    called = int((((sums @ metric) * sums).sum(1) >= true @ metric @ true / design - 1e-9).sum())
    return (1 + called) / (1 + _PERMUTATIONS)
