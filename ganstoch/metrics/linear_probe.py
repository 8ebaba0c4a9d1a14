"""How much a set of features says of the classes: the accuracy of a linear classifier upon them.

[1] Chen et al. 2018, "Self-Supervised GANs via Auxiliary Rotation Loss", arXiv:1811.11212, Fig. 1:
    a linear classifier on a discriminator's features gets worse late in training; cited for that in
    Yazici et al. 2020, arXiv:2006.14265, Sec. 3.
[2] Hastie, Tibshirani and Friedman 2009, "The Elements of Statistical Learning", Sec. 3.4.1 (ridge
    regression), Eq. 7.64 (its error with each example left out, in closed form).

The classifier is ridge regression of the classes, coded 0 and 1, on standardised features. Logistic
regression, the usual one, has to be iterated to a tolerance and again for every strength of its
penalty. Ridge regression is exact: one decomposition, of the smaller of features x features and
images x images, serves every strength, and the strength is the one whose error, with each training
image left out in turn, is smallest. Nothing is drawn, and there is nothing to set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["STRENGTHS", "ProbeScore", "linear_probe"]

STRENGTHS = tuple(10.0 ** (power / 2) for power in range(8, -9, -1))
"""Penalties that are tried, strongest first, in units of the mean variance along an axis."""

_NOTHING = 1e-12
"""An axis with less of the largest axis' variance holds rounding errors only."""

_CONSTANT = 1e-6
"""A feature that varies less, as a share of its own size, is constant up to rounding."""

_BLOCK = 2**22
"""Numbers in one float64 block of features: 32 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeScore:
    """How well a linear classifier does.

    Attributes:
        accuracy: share of the test images whose class it names, in [0, 1].
        chance: the same of always naming the commonest training class.
        train_accuracy: share of the training images, which it was fitted on, in [0, 1].
        strength: the penalty that was chosen, one of `STRENGTHS`.
    """

    accuracy: float
    chance: float
    train_accuracy: float
    strength: float


def linear_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    form: Literal["primal", "dual"] | None = None,
) -> ProbeScore:
    """Fits a linear classifier to some images' features and tests it on others'.

    With X the training features (N, F), centred and divided by their standard deviations, and Y the
    classes (N, K), coded 0 and 1 and centred, the weights are

        W = (X^T X + r I)^-1 X^T Y  =  X^T (X X^T + r I)^-1 Y        (primal, dual)

    and an image belongs to the class with the largest x W plus the class's share. r is a strength
    times the mean eigenvalue of X^T X; the strength is that of least squared error with each
    training image left out in turn (its scaling excepted). Multiplying or shifting a feature
    changes nothing.

    Args:
        train_features: shape (N, F...), any dtype; computed on the CPU in float64, in blocks, with
            memory for min(N, F) numbers an image or a feature.
        train_labels: integers, shape (N,), of two classes or more.
        test_features: shape (M, F...).
        test_labels: integers, shape (M,); a class that is in no training image counts as missed.
        form: which of the two to solve; None takes the smaller. The results are the same.

    Raises:
        ValueError: for no test images, fewer than two classes, shapes that do not fit together, or
            features that are no finite numbers.

    Example:
        >>> import torch
        >>> points = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
        >>> classes = torch.tensor([0, 0, 1, 1])
        >>> linear_probe(points, classes, points / 2, classes).accuracy
        1.0
    """
    fitted, tested = _matrix(train_features, train_labels), _matrix(test_features, test_labels)
    if fitted.shape[1] != tested.shape[1]:
        raise ValueError(f"{fitted.shape[1]} features to fit, {tested.shape[1]} to test")
    classes, codes = torch.unique(train_labels.cpu(), return_inverse=True)
    if len(classes) < 2 or not len(tested):
        raise ValueError("a probe needs two classes to fit, and images to test")
    counts = codes.bincount(minlength=len(classes))
    targets = torch.nn.functional.one_hot(codes).double()
    shares = targets.mean(0)
    targets -= shares
    scaling = _Scaling.of(fitted)
    dual = len(fitted) < fitted.shape[1] if form is None else form == "dual"
    axes = (_by_images if dual else _by_features)(fitted, scaling)
    strength, said = _choose(axes, targets)
    weights = axes.weights(fitted, scaling, said)
    named = torch.cat([block @ weights for block in scaling.rows(tested)]).add_(shares).argmax(1)
    own = (axes.scores @ said).add_(shares).argmax(1)
    truth = test_labels.cpu()
    return ProbeScore(
        accuracy=_share(classes[named] == truth),
        chance=_share(classes[counts.argmax()] == truth),
        train_accuracy=_share(own == codes),
        strength=strength,
    )


@dataclass(frozen=True, slots=True)
class _Scaling:
    """What makes a feature's mean 0 and its variance 1; of a constant feature, nothing but 0."""

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, features: Tensor) -> _Scaling:
        step = max(1, _BLOCK // len(features))
        means, factors = [], []
        for start in range(0, features.shape[1], step):
            block = features[:, start : start + step].double()
            mean, size = block.mean(0), block.abs().amax(0)
            deviation = (block - mean).square_().mean(0).sqrt_()
            means.append(mean)
            factors.append(torch.where(deviation > _CONSTANT * size, 1.0 / deviation, 0.0))
        return cls(torch.cat(means), torch.cat(factors))

    def rows(self, features: Tensor) -> Iterator[Tensor]:
        """Scaled features, some images at a time."""
        for block in torch.split(features, max(1, _BLOCK // features.shape[1])):
            yield (block.double() - self.mean).mul_(self.factor)

    def columns(self, features: Tensor) -> Iterator[Tensor]:
        """Scaled features, some features at a time."""
        step = max(1, _BLOCK // len(features))
        for start in range(0, features.shape[1], step):
            part = slice(start, start + step)
            yield (features[:, part].double() - self.mean[part]).mul_(self.factor[part])


@dataclass(frozen=True, slots=True)
class _Axes:
    """The training images along the principal axes of their features.

    Attributes:
        scores: shape (N, R).
        variances: eigenvalues of X^T X, shape (R,).
        basis: the axes' coordinates, shape (F, R) of features or (N, R) of images.
        of_images: whether the basis is one of images, from which X^T has to be taken yet.
    """

    scores: Tensor
    variances: Tensor
    basis: Tensor
    of_images: bool

    def weights(self, features: Tensor, scaling: _Scaling, said: Tensor) -> Tensor:
        """What the axes say of the classes, (R, K), as weights of the features, (F, K)."""
        if not self.of_images:
            return self.basis @ said
        of_images = (self.basis / self.variances.sqrt()) @ said
        return torch.cat([block.T @ of_images for block in scaling.columns(features)])


def _by_features(features: Tensor, scaling: _Scaling) -> _Axes:
    square = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
    for block in scaling.rows(features):
        square.addmm_(block.T, block)
    variances, basis = _eigen(square)
    scores = torch.cat([block @ basis for block in scaling.rows(features)])
    return _Axes(scores, variances, basis, of_images=False)


def _by_images(features: Tensor, scaling: _Scaling) -> _Axes:
    square = torch.zeros(len(features), len(features), dtype=torch.float64)
    for block in scaling.columns(features):
        square.addmm_(block, block.T)
    variances, basis = _eigen(square)
    return _Axes(basis * variances.sqrt(), variances, basis, of_images=True)


def _eigen(square: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues above rounding errors, and their vectors; none if nothing varies."""
    values, vectors = torch.linalg.eigh(square)
    kept = values > _NOTHING * values[-1]
    return values[kept], vectors[:, kept]


def _choose(axes: _Axes, targets: Tensor) -> tuple[float, Tensor]:
    """The strength with the least error, and what the axes then say of the classes, (R, K)."""
    projected = axes.scores.T @ targets
    squares = axes.scores.square()
    unit = axes.variances.mean() if len(axes.variances) else torch.ones(())
    found: list[tuple[float, float, Tensor]] = []
    for strength in STRENGTHS:
        damped = axes.variances + strength * unit
        said = projected / damped[:, None]
        # The share of an image's own target in what is said of it: of the mean, of the axes.
        leverage = 1.0 / len(targets) + squares @ (1.0 / damped)
        left_out = (targets - axes.scores @ said) / (1.0 - leverage)[:, None]
        found.append((left_out.square().mean().item(), strength, said))
    _, strength, said = min(found, key=lambda each: each[0])  # of equals the strongest
    return strength, said


def _matrix(features: Tensor, labels: Tensor) -> Tensor:
    if labels.ndim != 1 or len(labels) != len(features) or labels.is_floating_point():
        raise ValueError(
            f"expected whole numbers, one for each of {len(features)} images, as labels; got "
            f"{labels.dtype} of shape {tuple(labels.shape)}"
        )
    flat = features.detach().flatten(1).cpu()
    if not flat.isfinite().all():
        raise ValueError("features are not finite")
    return flat


def _share(right: Tensor) -> float:
    return right.double().mean().item()
