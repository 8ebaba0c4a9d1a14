"""A mixture of generators, as in MAD-GAN and MGAN."""

import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ganstoch.models.layers import DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.remedies.base import DiscriminatorPass, Remedy, RemedySpec
from ganstoch.remedies.choice import choose, cross_entropy, with_head, with_latents
from ganstoch.types import Shape

KIND = "mixture"


class Mixture(Remedy):
    """K generators as one; a further coordinate of the latent chooses among them.

    A batch is divided among them by chance, see `choose`, where [1] and [2] give each generator a
    batch of its own. They share no weights; those of [2] share all but their first layer. Each
    computes every latent, which costs K times the work.

    With ``identity`` above 0, a second head on the discriminator's features, not spectrally
    normalized, tells which generator made an example, and ``identity`` times its cross-entropy is
    added to both players' losses: the classifier of [2], Eq. 2, not that of [1], Sec. 3.

    [1] Ghosh et al. 2018, "Multi-Agent Diverse Generative Adversarial Networks" (MAD-GAN).
    [2] Hoang et al. 2018, "MGAN: Training Generative Adversarial Nets with Multiple Generators".

    Args:
        generators: how many, K; 1 is the plain GAN.
        identity: weight of the cross-entropy.
    """

    def __init__(self, *, generators: int = 3, identity: float = 0.0) -> None:
        super().__init__()
        self._require(generators >= 1, "generators", generators, "1 or more")
        self._require(0.0 <= identity < math.inf, "identity", identity, "0 or more")
        self.generators, self.identity = generators, identity
        self.spec = RemedySpec(is_noop=generators == 1, pairs_latents=identity > 0.0)

    def wrap_networks(
        self, generator: GeneratorFactory, discriminator: DiscriminatorFactory
    ) -> tuple[GeneratorFactory, DiscriminatorFactory]:
        """K generators and one around them; where needed, a head that tells them apart."""

        def mixed(shape: Shape, *, latent_dim: int | None = None) -> Generator:
            make = partial(generator, shape)
            if latent_dim is not None:
                make = partial(with_latents, generator, shape, latent_dim=latent_dim - 1)
            return _Mixed([make() for _ in range(self.generators)])

        if self.identity:
            discriminator = with_head(discriminator, KIND, count=self.generators)
        return mixed, discriminator

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """Adds the weighted cross-entropy of the generated examples."""
        return loss + self.identity * cross_entropy(scores, KIND) if self.identity else loss

    def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """Adds the same: the generators help to be told apart."""
        return self.discriminator_loss(loss, scores)


class _Mixed(Generator):
    """Several generators of one kind; a latent's first coordinate chooses among them."""

    def __init__(self, members: Sequence[Generator]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.latent_dim = members[0].latent_dim + 1

    def forward(self, latents: Tensor) -> Tensor:
        choices = choose(latents[:, 0], len(self.members))
        examples: Tensor = self.members[0](latents[:, 1:])
        for number, member in enumerate(list(self.members)[1:], start=1):
            mine = (choices == number).view(-1, *[1] * (examples.ndim - 1))
            examples = torch.where(mine, member(latents[:, 1:]), examples)
        return examples

    def assigned(self, latents: Tensor, kind: str) -> Tensor | None:
        if kind == KIND:
            return choose(latents[:, 0], len(self.members))
        return cast(Generator, self.members[0]).assigned(latents[:, 1:], kind)
