"""Types that several rooms share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Batch", "DiscriminatorOutput", "MicroBatch", "Neighbours", "Norm", "Shape", "Split"]
__all__ += ["GaussianModes", "KnownModes", "StackedClasses", "to_bytes", "to_signed"]

Shape = tuple[int, ...]
"""Of one example: (channels, height, width) of an image, (coordinates,) of a point."""

Norm = Literal["l1", "l2"]
Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The real half of one iteration, on the training device.

    Attributes:
        pixels: uint8 images, shape (m, C, H, W), range [0, 255], made floats a micro-batch at a
            time; of a source of points: float32, shape (m, D), unbounded.
        ids: positions of the examples in the subset, int64, shape (m,).
        size: m of the whole iteration; larger than ``len(ids)`` when several ranks share it.
        labels: their classes, int64, shape (m,); None where the source has none.
    """

    pixels: Tensor
    ids: Tensor
    size: int
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Real examples and latents of one update, or of a part of it.

    Attributes:
        pixels, ids, labels: of the part's M real examples, as in `Batch`.
        latents: shape (M, latent_dim), in the precision of the networks.
        weight: what the part's mean losses count in the whole batch's.
        positions: places of the part's examples in the logical batch, int64, shape (M,), CPU, so
            that what is drawn for a whole batch is shared out the same way however it is cut.
        size: examples in the logical batch.
    """

    pixels: Tensor
    latents: Tensor
    weight: float
    ids: Tensor
    labels: Tensor | None
    positions: Tensor
    size: int

    @property
    def real(self) -> Tensor:
        """The real examples, images in [-1, 1], in the precision of the latents."""
        if self.pixels.dtype == torch.uint8:
            return to_signed(self.pixels, dtype=self.latents.dtype)
        return self.pixels.to(self.latents.dtype)


@dataclass(frozen=True, slots=True)
class DiscriminatorOutput:
    """What a discriminator says of a batch.

    Attributes:
        logits: unbounded score, large for "real", shape (N,).
        features: activations before the last layer, flattened, shape (N, F).
        others: what further heads on the features say, each of shape (N, ...), by the head's name.
    """

    logits: Tensor
    features: Tensor
    others: Mapping[str, Tensor] = field(default_factory=dict)

    def halves(self) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """The first and the second half of the batch."""
        logits, features = self.logits.chunk(2), self.features.chunk(2)
        others = {name: said.chunk(2) for name, said in self.others.items()}
        first, second = (
            DiscriminatorOutput(
                logits[i], features[i], {name: said[i] for name, said in others.items()}
            )
            for i in (0, 1)
        )
        return first, second


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each query its nearest bank member.

    Attributes:
        distances: float64, shape (Q,), exact (not the search index's own estimate).
        ids: position in the bank, int64, shape (Q,); of equally near ones the lowest.
    """

    distances: Tensor
    ids: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class GaussianModes:
    """Known modes of points: a mixture of isotropic Gaussians, each as likely as the others.

    Attributes:
        centres: float32, shape (K, D).
        sigma: standard deviation along each coordinate that a mode spreads in.
        samples: how many generated points a score is measured on.
        rank: how many coordinates, the first ones, a mode spreads in; None for all D.
        radius: a point is good if it lies nearer than this to a centre, in units of sigma.
    """

    centres: Tensor
    sigma: float
    samples: int
    rank: int | None = None
    radius: float = 3.0

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
    """Known modes of images in three channels, each of one of ten classes: 1,000 modes.

    Attributes:
        samples: how many generated images a score is measured on.
        classifier: file of the classifier that names a channel's class.
        made_by: the command that makes the file.
    """

    samples: int
    classifier: Path
    made_by: str

    @property
    def modes(self) -> int:
        """Number of modes."""
        return 1000


KnownModes = GaussianModes | StackedClasses
"""Data whose modes are known, so that what a generator reaches can be counted."""


def to_signed(pixels: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bytes in [0, 255] as floats in [-1, 1], the range of the generator's tanh; any shape."""
    return pixels.to(dtype).div(127.5).sub_(1.0)


def to_bytes(images: Tensor) -> Tensor:
    """Floats in [-1, 1] rounded to the nearest byte in [0, 255], uint8; any shape."""
    return images.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
