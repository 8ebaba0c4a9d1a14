"""Fully connected networks for synthetic data; images are flattened.

[1] Lin et al. 2018, "PacGAN", and its published code: the ring, the grid and the
1200-dimensional modes.
[2] Metz et al. 2017, "Unrolled GANs", and the notebook published with it: the ring.
"""

import math
from typing import ClassVar

from torch import Tensor, nn

from ganstoch.models.layers import BatchNorm, Discriminator, Generator, check_sizes
from ganstoch.types import Shape


class LinearMaxout(nn.Module):
    """The largest of several linear maps, unit by unit [Goodfellow et al. 2013]; ties share."""

    def __init__(self, in_features: int, out_features: int, *, pieces: int) -> None:
        super().__init__()
        self.pieces, self.out_features = pieces, out_features
        self.linear = nn.Linear(in_features, pieces * out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) to (N, out_features)."""
        y: Tensor = self.linear(x).view(-1, self.pieces, self.out_features)
        fixed = y.detach()
        is_largest = (fixed - fixed.amax(1, keepdim=True)).sign_().add_(1)  # 1 or 0, as numbers
        return (y * (is_largest / is_largest.sum(1, keepdim=True))).sum(1)


class ReLUGenerator(Generator):
    """PacGAN's generator of points [1], its batch norm's epsilon and momentum included.

    Args:
        latent_dim: length of a latent.
        width: units of a hidden layer.
        depth: hidden layers.
        batch_norm: whether they are batch-normalized, which couples the images of a batch.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        latent_dim: int = 2,
        width: int = 400,
        depth: int = 4,
        batch_norm: bool = True,
    ) -> None:
        check_sizes(latent_dim=latent_dim, width=width, depth=depth)
        super().__init__()
        self.latent_dim = latent_dim
        layers: list[nn.Module] = []
        for into in _inputs(latent_dim, width, depth):
            layers.append(nn.Linear(into, width, bias=not batch_norm))
            layers += [BatchNorm(width, momentum=0.05, epsilon=1e-4)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers, *_outputs(width, shape))


class MaxoutDiscriminator(Discriminator):
    """PacGAN's discriminator of points [1].

    Args:
        width: units of a hidden layer.
        depth: hidden layers.
        pieces: linear maps per unit.
    """

    def __init__(self, shape: Shape, *, width: int = 200, depth: int = 3, pieces: int = 5) -> None:
        check_sizes(width=width, depth=depth, pieces=pieces)
        super().__init__()
        sizes = _inputs(math.prod(shape), width, depth)
        layers = [LinearMaxout(into, width, pieces=pieces) for into in sizes]
        self.body = nn.Sequential(nn.Flatten(), *layers)
        self.head = nn.Linear(width, 1)
        self.head_features = width


class TanhGenerator(Generator):
    """The generator of the unrolled GAN's ring [2], weights orthogonal times 1.4.

    Args:
        latent_dim: length of a latent.
        width: units of a hidden layer.
        depth: hidden layers.
    """

    gain: ClassVar[float | None] = 1.4

    def __init__(
        self, shape: Shape, *, latent_dim: int = 256, width: int = 128, depth: int = 2
    ) -> None:
        check_sizes(latent_dim=latent_dim, width=width, depth=depth)
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = nn.Sequential(*_tanh(latent_dim, width, depth), *_outputs(width, shape))


class TanhDiscriminator(Discriminator):
    """The discriminator of the unrolled GAN's ring [2]: smooth, weights orthogonal times 1.4.

    Args:
        width: units of a hidden layer.
        depth: hidden layers.
    """

    gain: ClassVar[float | None] = 1.4

    def __init__(self, shape: Shape, *, width: int = 128, depth: int = 2) -> None:
        check_sizes(width=width, depth=depth)
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), *_tanh(math.prod(shape), width, depth))
        self.head = nn.Linear(width, 1)
        self.head_features = width


def _inputs(first: int, width: int, depth: int) -> list[int]:
    return [first, *[width] * (depth - 1)]


def _tanh(first: int, width: int, depth: int) -> list[nn.Module]:
    sizes = _inputs(first, width, depth)
    return [layer for into in sizes for layer in (nn.Linear(into, width), nn.Tanh())]


def _outputs(width: int, shape: Shape) -> list[nn.Module]:
    """The last layer of a generator, whose images, not points, are bounded by tanh."""
    bound = [nn.Tanh()] if len(shape) == 3 else []
    return [nn.Linear(width, math.prod(shape)), *bound, nn.Unflatten(1, shape)]
