"""A choice that a coordinate of a latent makes, and a head of the discriminator that tells it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.remedies.base import DiscriminatorPass
from ganstoch.types import Shape


def choose(coordinates: Tensor, count: int) -> Tensor:
    """floor(count * Phi(z)), int64 (N,), of z (N,): each choice is as likely for z from N(0, 1).

    Noise upon the latents is upon this coordinate too: in training a latent may choose otherwise,
    and the first and the last choice become likelier than the others.
    """
    shares: Tensor = count * torch.special.ndtr(coordinates)
    return shares.long().clamp(max=count - 1)


def with_latents(generator: GeneratorFactory, shape: Shape, *, latent_dim: int) -> Generator:
    """A generator with latents of a length of our own."""
    try:
        network: Generator = generator(shape, latent_dim=latent_dim)
    except TypeError as error:
        raise UserError(
            "this remedy makes the generator's latents longer and needs a generator with an "
            f"argument latent_dim ({error}); take another model.generator"
        ) from error
    return network


def with_head(make: DiscriminatorFactory, kind: str, *, count: int) -> DiscriminatorFactory:
    """Discriminators with a further linear head ``kind`` on their features."""

    def make_with_head(shape: Shape) -> Discriminator:
        network = make(shape)
        network.heads[kind] = nn.Linear(network.head_features, count)
        return network

    return make_with_head


def chosen(scores: DiscriminatorPass, kind: str) -> Tensor:
    """What the latents chose, int64, shape (M,)."""
    choices = scores.generator.assigned(scores.batch.latents, kind)
    assert choices is not None
    return choices


def cross_entropy(scores: DiscriminatorPass, kind: str) -> Tensor:
    """Of what the generated examples' latents chose, given the head's output; a scalar."""
    return F.cross_entropy(scores.of_fake.others[kind], chosen(scores, kind))
