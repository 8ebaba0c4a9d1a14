"""Types that several rooms share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

Shape = tuple[int, ...]  # (channels, height, width) of an image, (coordinates,) of a point
Norm = Literal["l1", "l2"]
Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The real half of one iteration, on the training device."""

    pixels: Tensor  # uint8 images (m, C, H, W) in [0, 255], or points (m, D), float32, unbounded
    ids: Tensor  # positions of the examples in the subset, int64, shape (m,)
    size: int  # m of the whole iteration; more than ``len(ids)`` where several ranks share it
    labels: Tensor | None = None  # int64, shape (m,); None where the source has none


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Real examples and latents of one update, or of a part of it; pixels etc. as in `Batch`."""

    pixels: Tensor
    latents: Tensor  # shape (M, latent_dim), in the precision of the networks
    weight: float  # what the part's mean losses count in the whole batch's
    ids: Tensor
    labels: Tensor | None
    positions: Tensor  # places in the logical batch, on the CPU, int64, shape (M,)
    size: int  # examples in the logical batch

    @property
    def real(self) -> Tensor:
        """The real examples, images in [-1, 1], in the precision of the latents."""
        if self.pixels.dtype == torch.uint8:
            return to_signed(self.pixels, dtype=self.latents.dtype)
        return self.pixels.to(self.latents.dtype)


@dataclass(frozen=True, slots=True)
class DiscriminatorOutput:
    """What a discriminator says of a batch."""

    logits: Tensor  # unbounded score, large for "real", shape (N,)
    features: Tensor  # activations before the last layer, flattened, shape (N, F)
    others: Mapping[str, Tensor] = field(default_factory=dict)  # further heads' outputs (N, ...)

    def halves(self) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """The first and the second half of the batch."""
        logits, features = self.logits.chunk(2), self.features.chunk(2)
        others = {name: output.chunk(2) for name, output in self.others.items()}
        first, second = ({name: pair[i] for name, pair in others.items()} for i in (0, 1))
        return (
            DiscriminatorOutput(logits[0], features[0], first),
            DiscriminatorOutput(logits[1], features[1], second),
        )


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each query its nearest bank member."""

    distances: Tensor  # float64, shape (Q,), exact (not the search index's own estimate)
    ids: Tensor  # position in the bank, int64, shape (Q,); of equally near ones the lowest


@dataclass(frozen=True, slots=True, eq=False)
class GaussianModes:
    """Known modes of points: a mixture of isotropic Gaussians, each as likely as the others."""

    centres: Tensor  # float32, shape (K, D)
    sigma: float  # standard deviation along each coordinate that a mode spreads in
    samples: int  # how many generated points a score is measured on
    rank: int | None = None  # how many coordinates, the first ones, a mode spreads in; None for all
    radius: float = 3.0  # a point is good if it lies nearer than this to a centre, in sigmas

    @property
    def spread(self) -> int:
        """Number of coordinates that a mode spreads in."""
        return self.centres.shape[1] if self.rank is None else self.rank

    def points(self, modes: Tensor, noise: Tensor) -> Tensor:
        """Points (N, D) of the modes (N,), from standard normal noise (N, spread); float32."""
        around = torch.nn.functional.pad(noise, (0, self.centres.shape[1] - self.spread))
        return self.centres[modes] + self.sigma * around


@dataclass(frozen=True, slots=True)
class StackedClasses:
    """Known modes of images in three channels, each of one of ten classes: 1,000 modes."""

    samples: int  # how many generated images a score is measured on
    classifier: Path  # file of the classifier that names a channel's class
    made_by: str  # the command that makes the file
    modes: ClassVar[int] = 1000


# Data whose modes are known, so that what a generator reaches can be counted.
KnownModes = GaussianModes | StackedClasses


def to_signed(pixels: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bytes in [0, 255] as floats in [-1, 1], the range of the generator's tanh; any shape."""
    return pixels.to(dtype).div(127.5).sub_(1.0)


def to_bytes(images: Tensor) -> Tensor:
    """Floats in [-1, 1] rounded to the nearest byte in [0, 255], uint8; any shape."""
    return images.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
