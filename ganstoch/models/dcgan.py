"""DCGANs with batch normalization, for stacked digits of 28 x 28.

[1] Lin et al. 2018, "PacGAN", and its published code: DCGAN, in VEEGAN's protocol.
[2] Metz et al. 2017, "Unrolled GANs", appendix: the small networks, which [1] takes over.

Ours: padding is the same on all sides; a bias that batch norm would remove is left out; outside
training batch norm uses its running statistics.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from ganstoch.errors import UserError
from ganstoch.models.layers import BatchNorm, Discriminator, Generator, check_sizes
from ganstoch.types import Shape


class DCGANGenerator(Generator):
    """PacGAN's DCGAN: a linear layer to 2 x 2, four transposed 5 x 5 convolutions to 28 x 28.

    Args:
        latent_dim: length of a latent.
        width: channels of the last hidden map; eight times as many in the first.
    """

    def __init__(
        self, shape: Shape = (3, 28, 28), *, latent_dim: int = 100, width: int = 64
    ) -> None:
        _check(shape, latent_dim=latent_dim, width=width)
        super().__init__()
        self.latent_dim = latent_dim
        *sizes, last = _halved(shape, 4)[::-1]
        layers = _enlarging(latent_dim, [8 * width, 4 * width, 2 * width, width], sizes, kernel=5)
        layers += [_enlarge(width, shape[0], last, kernel=5, bias=True), nn.Tanh()]
        self.layers = nn.Sequential(*layers)


class DCGANDiscriminator(Discriminator):
    """PacGAN's DCGAN: four 5 x 5 convolutions with stride 2, batch norm on all but the first.

    Args:
        width: channels of the first map; eight times as many in the last.
    """

    def __init__(self, shape: Shape = (3, 28, 28), *, width: int = 64) -> None:
        _check(shape, width=width)
        super().__init__()
        channels = [width, 2 * width, 4 * width, 8 * width]
        first = [_reduce(shape[0], width, kernel=5, bias=True), nn.LeakyReLU(0.2, inplace=True)]
        layers = first + _reducing(channels, kernel=5, slope=0.2)
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head_features = channels[-1] * math.prod(_halved(shape, 4)[-1])
        self.head = nn.Linear(self.head_features, 1)


class UnrolledGenerator(Generator):
    """The unrolled protocol's: linear to 4 x 4, three transposed 3 x 3 convolutions, a plain one.

    Args:
        latent_dim: length of a latent.
        width: channels of the first map, a multiple of 8; an eighth of it in the last hidden one.
    """

    def __init__(
        self, shape: Shape = (3, 28, 28), *, latent_dim: int = 256, width: int = 64
    ) -> None:
        _check(shape, latent_dim=latent_dim)
        check_sizes(step=8, width=width)
        super().__init__()
        self.latent_dim = latent_dim
        channels = [width, width // 2, width // 4, width // 8]
        layers = _enlarging(latent_dim, channels, _halved(shape, 3)[::-1], kernel=3)
        layers += [nn.Conv2d(channels[-1], shape[0], 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)


class UnrolledDiscriminator(Discriminator):
    """The unrolled protocol's: three 3 x 3 convolutions with stride 2, batch norm on all.

    Args:
        width: channels of the last map, a multiple of 4; 16 where D is half of G, 8 at a quarter.
    """

    def __init__(self, shape: Shape = (3, 28, 28), *, width: int = 8) -> None:
        _check(shape)
        check_sizes(step=4, width=width)
        super().__init__()
        layers = _reducing([shape[0], width // 4, width // 2, width], kernel=3, slope=0.3)
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head_features = width * math.prod(_halved(shape, 3)[-1])
        self.head = nn.Linear(self.head_features, 1)


Size = tuple[int, int]  # (height, width)


def _halved(shape: Shape, times: int) -> list[Size]:
    """An image's size and what each layer with stride 2 leaves of it, rounded up."""
    sizes = [(shape[1], shape[2])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def _enlarging(
    latent_dim: int, channels: Sequence[int], sizes: Sequence[Size], *, kernel: int
) -> list[nn.Module]:
    """Latents to a map of the first size, and on to every next, with batch norm and ReLU."""
    # This bias differs from pixel to pixel, so batch norm does not remove it.
    linear = nn.Linear(latent_dim, channels[0] * math.prod(sizes[0]))
    layers: list[nn.Module] = [linear, nn.Unflatten(1, (channels[0], *sizes[0]))]
    layers += [BatchNorm(channels[0]), nn.ReLU(inplace=True)]
    for (into, out), size in zip(pairwise(channels), sizes[1:], strict=True):
        layers.append(_enlarge(into, out, size, kernel=kernel, bias=False))
        layers += [BatchNorm(out), nn.ReLU(inplace=True)]
    return layers


def _enlarge(into: int, out: int, size: Size, *, kernel: int, bias: bool) -> nn.Module:
    pad = (1 - size[0] % 2, 1 - size[1] % 2)
    return nn.ConvTranspose2d(
        into, out, kernel, stride=2, padding=kernel // 2, output_padding=pad, bias=bias
    )


def _reducing(channels: Sequence[int], *, kernel: int, slope: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for into, out in pairwise(channels):
        layers.append(_reduce(into, out, kernel=kernel, bias=False))
        layers += [BatchNorm(out, tracked=False), nn.LeakyReLU(slope, inplace=True)]
    return layers


def _reduce(into: int, out: int, *, kernel: int, bias: bool) -> nn.Module:
    return nn.Conv2d(into, out, kernel, stride=2, padding=kernel // 2, bias=bias)


def _check(shape: Shape, **sizes: int) -> None:
    if len(shape) != 3:
        raise UserError(
            "convolutional networks make images, not points: take those of ganstoch.models.mlp"
        )
    check_sizes(**sizes)
