"""How much a set of features says of the classes: the accuracy of a linear classifier upon them.

[1] Chen et al. 2018, "Self-Supervised GANs via Auxiliary Rotation Loss", arXiv:1811.11212, Fig. 1:
    a linear classifier on a discriminator's features gets worse late in training; cited for that in
    Yazici et al. 2020, arXiv:2006.14265, Sec. 3.

The classifier is ridge regression on standardized features, its penalty chosen by leave-one-out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Penalties that are tried, strongest first, in units of the mean variance along an axis.
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(8, -9, -1))
_CONSTANT = 1e-6  # a feature that varies less, as a share of its size, is constant up to rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeScore:
    """How well a linear classifier does."""

    accuracy: float  # share of the test images whose class it names, in [0, 1]
    chance: float  # the same of always naming the commonest training class
    train_accuracy: float  # share of the training images, which it was fitted on
    strength: float  # the penalty that was chosen, one of `STRENGTHS`


def linear_probe(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor
) -> ProbeScore:
    """Fits a linear classifier to features (N, F...) of integer labels and tests it on others."""
    from sklearn.linear_model import RidgeClassifierCV  # takes a second to import

    fitted, tested = _matrix(train_features, train_labels), _matrix(test_features, test_labels)
    if fitted.shape[1] != tested.shape[1]:
        raise ValueError(f"{fitted.shape[1]} features to fit, {tested.shape[1]} to test")
    classes, counts = torch.unique(train_labels.cpu(), return_counts=True)
    if len(classes) < 2 or not len(tested):
        raise ValueError("a probe needs two classes to fit, and images to test")
    mean, deviation = fitted.mean(0), fitted.std(0, correction=0)
    varies = deviation > _CONSTANT * fitted.abs().amax(0)
    factor = torch.where(varies, 1 / deviation, 0.0)
    rows = fitted.sub_(mean).mul_(factor)
    axes = min(len(rows) - 1, int(varies.sum()))
    unit = len(rows) * int(varies.sum()) / axes if axes else 1.0  # mean variance along an axis
    classifier = RidgeClassifierCV(alphas=[strength * unit for strength in STRENGTHS])
    classifier.fit(rows.numpy(), train_labels.cpu().numpy())
    truth = test_labels.cpu()
    predicted = torch.from_numpy(classifier.predict(tested.sub_(mean).mul_(factor).numpy()))
    train_predicted = torch.from_numpy(classifier.predict(rows.numpy()))
    return ProbeScore(
        accuracy=(predicted == truth).double().mean().item(),
        chance=(classes[counts.argmax()] == truth).double().mean().item(),
        train_accuracy=(train_predicted == train_labels.cpu()).double().mean().item(),
        strength=min(STRENGTHS, key=lambda strength: abs(strength * unit - classifier.alpha_)),
    )


def _matrix(features: Tensor, labels: Tensor) -> Tensor:
    if labels.ndim != 1 or len(labels) != len(features) or labels.is_floating_point():
        raise ValueError(
            f"expected whole numbers, one for each of {len(features)} images, as labels; got "
            f"{labels.dtype} of shape {tuple(labels.shape)}"
        )
    flat = features.detach().flatten(1).to("cpu", torch.float64, copy=True)
    if not flat.isfinite().all():
        raise ValueError("features are not finite")
    return flat
