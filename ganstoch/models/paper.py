"""The paper's two networks [1, Tables 2 and 3], of any width.

[1] Yazici et al. 2020, arXiv:2006.14265. LeakyReLU has slope 0.2. No layer normalizes over the
batch: that would be a source of randomness.
"""

from itertools import pairwise

from torch import nn

from ganstoch.errors import UserError
from ganstoch.models.layers import (
    Discriminator,
    Generator,
    LatentConv,
    SpectralConv2d,
    UpsampleConv,
    check_sizes,
)
from ganstoch.types import Shape

SLOPE = 0.2


def _check(shape: Shape, width: int) -> None:
    if shape[1:] != (32, 32):
        size = " x ".join(map(str, shape[1:])) or "points"
        raise UserError(f"the paper's networks make 32 x 32 images, not {size}")
    check_sizes(step=8, width=width)


class PaperGenerator(Generator):
    """Table 2: latents (N, latent_dim) to images (N, C, 32, 32) in [-1, 1].

    Args:
        latent_dim: length of a latent; 512 in the paper.
        width: channels of the first map, a multiple of 8; 1024 in the paper.
    """

    def __init__(self, shape: Shape, *, latent_dim: int = 512, width: int = 1024) -> None:
        _check(shape, width)
        check_sizes(latent_dim=latent_dim)
        super().__init__()
        self.latent_dim = latent_dim
        layers: list[nn.Module] = [LatentConv(latent_dim, width)]
        for into, out in pairwise([width, width // 2, width // 4, shape[0]]):
            layers += [nn.LeakyReLU(SLOPE, inplace=True), UpsampleConv(into, out)]
        self.layers = nn.Sequential(*layers, nn.Tanh())


class PaperDiscriminator(Discriminator):
    """Table 3: images (N, C, 32, 32) to one logit each, every layer spectrally normalized.

    Args:
        width: channels of the last map, a multiple of 8; 1024 in the paper.
    """

    def __init__(self, shape: Shape, *, width: int = 1024) -> None:
        _check(shape, width)
        super().__init__()
        layers: list[nn.Module] = []
        channels = [shape[0], width // 8, width // 4, width // 2, width]
        for (into, out), stride in zip(pairwise(channels), (2, 2, 2, 1), strict=True):
            layers.append(SpectralConv2d(into, out, 5, stride=stride, padding=2))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        self.body = nn.Sequential(*layers)
        self.head = SpectralConv2d(width, 1, 4, stride=1, padding=0)
        self.head_features = 16 * width
