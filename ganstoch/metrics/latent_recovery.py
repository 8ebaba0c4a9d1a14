"""Latent recovery: how well a generator can be made to show a given image.

[1] Webster, Rabin, Simon, Jurie 2019, "Detecting Overfitting of Deep Generative Networks via Latent
    Recovery", arXiv:1901.03396, Sec. 3.

For an image x, the recovery error is min_z ||G(z) - x||^2, here as a mean over pixels. As in [1]
L-BFGS looks for the minimum, for a batch of images at once, all from the same latents.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from scipy.stats import ks_2samp
from torch import Tensor

from ganstoch.metrics.lbfgs import minimize_each
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import normal, rng_for
from ganstoch.types import to_signed


class Recovery(NamedTuple):
    """The nearest that a generator came to each image."""

    errors: Tensor  # mean squared difference over pixels, in [-1, 1] units; float64, shape (N,)
    latents: Tensor  # that give them, shape (N, D)


class RecoveryGap(NamedTuple):
    """Whether training images are recovered better than held-out ones."""

    train_median: float
    held_out_median: float
    p_value: float  # two-sided Kolmogorov-Smirnov; [1] calls it overfitting below 0.01


def recover(
    generate: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    latent_dim: int,
    iterations: int = 50,
    restarts: int = 2,
    batch_size: int = 64,
    seed: int = 0,
) -> Recovery:
    """Looks for the latents that bring a generator nearest to given images.

    Args:
        generate: from latents (B, latent_dim), on the images' device, to images in [-1, 1], each a
            differentiable function of its own latent: a network in evaluation mode.
        images: shape (N, C, H, W), uint8 in [0, 255] or floats in [-1, 1]; floats set the precision
            of the latents, otherwise it is float32.
        latent_dim: length of a latent.
        iterations: steps of L-BFGS from each start; [1] takes 50.
        restarts: starts, each a standard normal latent, of which the best end is kept.
        batch_size: images at once.
        seed: decides the starts.
    """
    if min(latent_dim, iterations, restarts, batch_size, len(images)) < 1:
        raise ValueError("numbers and images must be at least 1")
    starts = normal((restarts, latent_dim), rng_for(seed, "evaluation", part="recovery"))
    errors, latents = [], []
    for some in progress_bar(torch.split(images, batch_size), "latent recovery"):
        target = to_signed(some) if some.dtype == torch.uint8 else some.detach()
        error_of = partial(_errors, generate, target)
        best = torch.full((len(some),), torch.inf, dtype=torch.float64)
        best_latents = torch.zeros(len(some), latent_dim, dtype=target.dtype)
        for start in starts.to(target):
            minima = minimize_each(error_of, start.expand(len(some), -1), iterations=iterations)
            better = minima.values.cpu() < best
            best = torch.where(better, minima.values.cpu(), best)
            best_latents = torch.where(better[:, None], minima.points.cpu(), best_latents)
        if not torch.isfinite(best).all():
            raise ValueError("the generator makes NaN or infinite values")
        errors.append(best)
        latents.append(best_latents)
    return Recovery(errors=torch.cat(errors), latents=torch.cat(latents))


def recovery_gap(train_errors: Tensor, held_out_errors: Tensor) -> RecoveryGap:
    """Compares recovery errors of training (N,) and held-out images (K,) [1, Sec. 3]."""
    sides = [errors.double().cpu() for errors in (train_errors, held_out_errors)]
    train, held_out = (side.quantile(0.5).item() for side in sides)
    return RecoveryGap(train, held_out, float(ks_2samp(*(side.numpy() for side in sides)).pvalue))


def _errors(
    generate: Callable[[Tensor], Tensor], target: Tensor, latents: Tensor, ids: Tensor
) -> Tensor:
    """Mean squared differences from the targets of the given ids, float64 (B,)."""
    images, targets = generate(latents), target[ids]
    if images.shape != targets.shape:
        raise ValueError(
            f"the generator makes images of shape {tuple(images.shape[1:])}, "
            f"not {tuple(targets.shape[1:])}"
        )
    return (images.double() - targets.double()).square().flatten(1).mean(1)
