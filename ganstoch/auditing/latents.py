"""Latent recovery in an audit: does a generator show training images better than unseen ones?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.auditing.inputs import Images
from ganstoch.auditing.space import sample_ids
from ganstoch.metrics.latent_recovery import recover, recovery_gap
from ganstoch.report.audit_report import Reading

__all__ = ["LatentGenerator", "latent_recovery"]

SAMPLE = 64
"""Images of each set that are recovered."""

_ITERATIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentGenerator:
    """A generator whose latents can be looked for.

    Attributes:
        generate: from latents, float32, shape (N, latent_dim), to images in [-1, 1], shape
            (N, C, H, W), differentiable, each image a function of its own latent.
        latent_dim: length of a latent.
    """

    generate: Callable[[Tensor], Tensor]
    latent_dim: int


def latent_recovery(
    generator: LatentGenerator, real: Images, held_out: Images, *, seed: int
) -> dict[str, Reading]:
    """Compares recovery errors of a sample of training images and of one of held-out images."""

    def errors(images: Images) -> Tensor:
        ids = sample_ids(len(images), SAMPLE, seed=seed, part=f"recovery/{images.role}")
        found = recover(
            generator.generate,
            images.read(ids),
            latent_dim=generator.latent_dim,
            iterations=_ITERATIONS,
            restarts=1,
            seed=seed,
        )
        return found.errors

    with torch.enable_grad():
        gap = recovery_gap(errors(real), errors(held_out))
    return {
        "recovery/error": Reading(
            value=gap.train_median,
            baseline=gap.held_out_median,
            p_value=gap.p_value,
            wanted="baseline",
            meaning="Median squared error at which the generator, its latent sought, shows "
            "training images; the baseline is that of held-out images.",
        ),
    }
