"""How many of the modes a generator reaches, in data whose modes are known.

[1] Srivastava et al. 2017, "VEEGAN", arXiv:1705.07761, Sec. 5.
[2] Lin et al. 2018, "PacGAN", arXiv:1712.04086, Sec. 4, and its published code.

As in the code of [2], a mode counts from one sample on, and the divergence is KL(generated ||
data), called reverse, between shares of the modes: of good points, but of all images.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ganstoch.metrics.digit_classifier import classify_stacks, load_classifier
from ganstoch.rng import normal, rng_for, with_replacement
from ganstoch.types import GaussianModes, KnownModes, StackedClasses

CONFIDENT = 0.9  # from which probability on a classifier counts as sure of an image


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeScores:
    """What S samples reach of K modes."""

    count: int  # modes with at least one sample that counts, in [0, K]
    of: int  # K
    good_share: float  # of the samples: points near a centre, or images the classifier is sure of
    reverse_kl: float  # KL(shares of the modes || uniform) in nats; ln K, the worst, without any
    confident_count: int | None = None  # modes with an image that the classifier is sure of
    confidence: float | None = None  # its mean probability for the class it names

    def named(self) -> dict[str, float]:
        """The scores by the names that records and logs know them by."""
        return {f"modes/{name}": float(v) for name, v in asdict(self).items() if v is not None}


def score_gaussians(points: Tensor, mixture: GaussianModes) -> ModeScores:
    """What points (S, D) reach of a mixture: good ones are within radius * sigma of a centre."""
    # Not by the expanded square, which has lost its digits at distances as small as sigma.
    apart = torch.cdist(
        points.detach().to("cpu", torch.float64),
        mixture.centres.to("cpu", torch.float64),
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    distances, nearest = apart.min(dim=1)
    good = distances < mixture.radius * mixture.sigma
    counts = nearest[good].bincount(minlength=len(mixture.centres))
    return ModeScores(
        count=int((counts > 0).sum()),
        of=len(counts),
        good_share=good.double().mean().item(),
        reverse_kl=_reverse_kl(counts),
    )


def score_classes(predicted: Tensor, confidence: Tensor, classes: int) -> ModeScores:
    """What images reach of ``classes`` classes, by those predicted (S,) and their probabilities."""
    predicted, confidence = predicted.cpu(), confidence.to("cpu", torch.float64)
    sure = confidence >= CONFIDENT
    counts = predicted.bincount(minlength=classes)
    if len(counts) > classes:
        raise ValueError(f"predictions must be below {classes}, got {len(counts) - 1}")
    return ModeScores(
        count=int((counts > 0).sum()),
        of=classes,
        good_share=sure.double().mean().item(),
        reverse_kl=_reverse_kl(counts),
        confident_count=int((predicted[sure].bincount(minlength=classes) > 0).sum()),
        confidence=confidence.mean().item(),
    )


def make_mode_scorer(
    known_modes: KnownModes, *, device: torch.device | str = "cpu"
) -> Callable[[Tensor], ModeScores]:
    """A function that scores generated points (S, D), or images (S, 3, 28, 28), of such data."""
    if isinstance(known_modes, GaussianModes):
        return lambda points: score_gaussians(points, known_modes)
    classifier = load_classifier(known_modes.classifier, made_by=known_modes.made_by).to(device)
    return lambda images: score_classes(*classify_stacks(classifier, images), known_modes.modes)


def perfect_sampler(known_modes: KnownModes, *, seed: int) -> ModeScores:
    """What a perfect sampler scores with as many samples, its images classified without error."""
    rng, count = rng_for(seed, "evaluation", part="perfect sampler"), known_modes.samples
    if isinstance(known_modes, StackedClasses):
        drawn = with_replacement(known_modes.modes, count, rng)
        return score_classes(drawn, torch.ones(count), known_modes.modes)
    drawn = with_replacement(len(known_modes.centres), count, rng)
    points = known_modes.points(drawn, normal((count, known_modes.spread), rng))
    return score_gaussians(points, known_modes)


def _reverse_kl(counts: Tensor) -> float:
    """KL(counts / their sum || uniform) in nats; ln K where all counts are 0."""
    total = int(counts.sum())
    if total == 0:
        return math.log(len(counts))
    shares = counts.double() / total
    # At equal shares the difference of two logarithms may come out a rounding error below 0.
    return max(0.0, math.log(len(counts)) + torch.xlogy(shares, shares).sum().item())
