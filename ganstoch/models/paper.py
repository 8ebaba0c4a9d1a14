"""The paper's two networks [1, Tables 2 and 3], of any width.

[1] Yazici et al. 2020, arXiv:2006.14265. LeakyReLU has slope 0.2. No layer normalizes over the
batch: that would be a source of randomness.
"""

from __future__ import annotations

from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.models.layers import (
    Discriminator,
    Generator,
    LatentConv,
    SpectralConv2d,
    UpsampleConv,
)
from ganstoch.types import Shape

__all__ = ["PaperDiscriminator", "PaperGenerator"]

SLOPE = 0.2


def _check(shape: Shape, width: int) -> None:
    if shape[1:] != (32, 32):
        size = " x ".join(map(str, shape[1:])) or "points"
        raise UserError(f"the paper's networks make 32 x 32 images, not {size}")
    if width < 8 or width % 8:
        raise UserError(f"width of the paper's networks must be a multiple of 8, got {width}")


class PaperGenerator(Generator):
    """Table 2: latents (N, latent_dim) to images (N, C, 32, 32) in [-1, 1].

    Args:
        shape: (channels, 32, 32).
        latent_dim: length of a latent; 512 in the paper.
        width: channels of the first map, halved twice on the way; 1024 in the paper.

    Raises:
        UserError: for another image size, or a width that is no multiple of 8.
    """

    def __init__(self, shape: Shape, *, latent_dim: int = 512, width: int = 1024) -> None:
        _check(shape, width)
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = nn.Sequential(
            LatentConv(latent_dim, width),
            nn.LeakyReLU(SLOPE, inplace=True),
            UpsampleConv(width, width // 2),
            nn.LeakyReLU(SLOPE, inplace=True),
            UpsampleConv(width // 2, width // 4),
            nn.LeakyReLU(SLOPE, inplace=True),
            UpsampleConv(width // 4, shape[0]),
            nn.Tanh(),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to images (N, C, 32, 32) in [-1, 1]."""
        images: Tensor = self.layers(latents)
        return images


class PaperDiscriminator(Discriminator):
    """Table 3: images (N, C, 32, 32) to one logit each, every layer spectrally normalised.

    Args:
        shape: (channels, 32, 32).
        width: channels of the last map, an eighth of it in the first; 1024 in the paper.

    Raises:
        UserError: for another image size, or a width that is no multiple of 8.
    """

    def __init__(self, shape: Shape, *, width: int = 1024) -> None:
        _check(shape, width)
        super().__init__()
        self.body = nn.Sequential(
            SpectralConv2d(shape[0], width // 8, 5, stride=2, padding=2),
            nn.LeakyReLU(SLOPE, inplace=True),
            SpectralConv2d(width // 8, width // 4, 5, stride=2, padding=2),
            nn.LeakyReLU(SLOPE, inplace=True),
            SpectralConv2d(width // 4, width // 2, 5, stride=2, padding=2),
            nn.LeakyReLU(SLOPE, inplace=True),
            SpectralConv2d(width // 2, width, 5, stride=1, padding=2),
            nn.LeakyReLU(SLOPE, inplace=True),
        )
        self.head = SpectralConv2d(width, 1, 4, stride=1, padding=0)
        self.head_features = 16 * width
