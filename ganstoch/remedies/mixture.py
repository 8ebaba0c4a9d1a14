"""Several generators against one discriminator, each for its share of the latents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models.base import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.objectives import Objective
from ganstoch.remedies.base import DiscriminatorPass, Remedy
from ganstoch.remedies.choice import choose
from ganstoch.types import Shape

__all__ = ["Mixture"]

_KIND = "mixture"


class Mixture(Remedy):
    """K generators play as one; a further coordinate of the latent says which of them answers.

    A latent always goes to the same generator, and each serves an equal share of the latents in
    expectation; see `choose` for what noise upon the latents does. A batch is thus divided by
    chance and not evenly, where [1] and [2] give each generator a batch of its own. The generators
    share no weights; those of [2] share all but their first layer. Each of them computes every
    latent and what the others are for is dropped: that costs K times the generator's work, and
    needs no batch size that depends on chance.

    With ``identity`` above 0, a second head on the discriminator's features tells from a generated
    example which generator made it, and ``identity`` times its cross-entropy is added to both
    players' losses: so the generators are driven apart. That is the classifier of [2], Eq. 2, with
    all of the discriminator's layers but the last shared, as there. In [1], Sec. 3, the generators'
    numbers are further classes of one softmax beside "real", and the generators get no such term.
    The head is not spectrally normalised.

    [1] Ghosh et al. 2018, "Multi-Agent Diverse Generative Adversarial Networks" (MAD-GAN).
    [2] Hoang et al. 2018, "MGAN: Training Generative Adversarial Nets with Multiple Generators".

    Args:
        generators: how many, K; 1 is the plain game.
        identity: weight of the cross-entropy.

    Raises:
        UserError: for a setting out of its range.
    """

    def __init__(self, *, generators: int = 3, identity: float = 0.0) -> None:
        super().__init__()
        if generators < 1:
            raise UserError(
                f"model.remedies: generators of Mixture must be 1 or more, got {generators}"
            )
        if not 0.0 <= identity < math.inf:
            raise UserError(
                f"model.remedies: identity of Mixture must be 0 or more, got {identity}"
            )
        self.generators = generators
        self.identity = identity

    @property
    def neutral(self) -> bool:
        """With one generator there is nothing to choose."""
        return self.generators == 1

    @property
    def tied(self) -> bool:
        """Whether the discriminator tells which generator made an example."""
        return self.identity > 0.0

    def check(self, objective: Objective, others: Sequence[Remedy]) -> None:
        """Refuses packs where generated examples are told apart one by one."""
        if self.identity and any(other.pack > 1 for other in others):
            raise UserError(
                "Mixture asks who made each example, and a pack has examples of several "
                "generators; set its identity to 0, or leave out Packing"
            )

    def wrap_generator(self, make: GeneratorFactory) -> GeneratorFactory:
        """Makes K generators and one around them."""

        def made(shape: Shape, *, latent_dim: int | None = None) -> Generator:
            member: Callable[[Shape], Generator] = make
            if latent_dim is not None:
                member = partial(cast(Callable[..., Generator], make), latent_dim=latent_dim - 1)
            return _Mixed([member(shape) for _ in range(self.generators)])

        return made

    def wrap_discriminator(self, make: DiscriminatorFactory) -> DiscriminatorFactory:
        """Adds the head that tells the generators apart, where it is asked for."""

        def made(shape: Shape) -> Discriminator:
            discriminator = make(shape)
            head = nn.Linear(discriminator.head_features, self.generators)
            discriminator.heads[_KIND] = head
            return discriminator

        return made if self.identity else make

    def discriminator_loss(self, loss: Tensor, round: DiscriminatorPass) -> Tensor:
        """Adds the weighted cross-entropy of the generated examples."""
        return loss + self.identity * _cross_entropy(round) if self.identity else loss

    def generator_loss(self, loss: Tensor, round: DiscriminatorPass) -> Tensor:
        """Adds the same: the generators help to be told apart."""
        return loss + self.identity * _cross_entropy(round) if self.identity else loss


class _Mixed(Generator):
    """Several generators of one kind; a latent's first coordinate chooses among them."""

    def __init__(self, members: Sequence[Generator]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.latent_dim = members[0].latent_dim + 1

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to (N, *shape), each by the generator that it chooses."""
        chosen = choose(latents[:, 0], len(self.members))
        made = [member(latents[:, 1:]) for member in self.members]
        examples: Tensor = made[0]
        for number, others in enumerate(made[1:], start=1):
            mine = (chosen == number).view(-1, *[1] * (examples.ndim - 1))
            examples = torch.where(mine, others, examples)
        return examples

    def assigned(self, latents: Tensor, kind: str) -> Tensor | None:
        """Which generator a latent chooses; what its generators say of any other kind."""
        if kind == _KIND:
            return choose(latents[:, 0], len(self.members))
        return cast(Generator, self.members[0]).assigned(latents[:, 1:], kind)


def _cross_entropy(round: DiscriminatorPass) -> Tensor:
    """Of the generated examples' generators, given what the head says of them; a scalar."""
    chosen = round.assigned(_KIND)
    assert chosen is not None
    return F.cross_entropy(round.of_fake.others[_KIND], chosen)
