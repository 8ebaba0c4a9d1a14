"""Classes for both players: the generator is told one, the discriminator has to tell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models.base import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.objectives import Objective
from ganstoch.remedies.base import DataFacts, DiscriminatorPass, Remedy, StepInfo
from ganstoch.remedies.choice import choose
from ganstoch.types import Shape

__all__ = ["ACGAN"]

_KIND = "class"


class ACGAN(Remedy):
    """A class conditions the generator, and the discriminator has a second head that tells it.

    A further coordinate of the latent chooses the class, every class alike; see `choose` for what
    noise upon the latents does. The generator gets the rest of the latent and the class as a
    one-hot vector behind it. With ``weight`` w, the discriminator's loss gains
    w (CE(real, its label) + CE(generated, its class)), and the generator's w CE(generated, its
    class): the L_C that both players maximise in [1], Sec. 4. The head is one linear layer on the
    discriminator's features, not spectrally normalised.

    Measured: ``acgan/real_accuracy`` and ``acgan/fake_accuracy``, shares of the discriminator's
    examples whose class it tells, in [0, 1].

    [1] Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs".

    Args:
        classes: how many the data have.
        weight: w; 0 is the plain game.

    Raises:
        UserError: for a setting out of its range.
    """

    def __init__(self, *, classes: int, weight: float = 1.0) -> None:
        super().__init__()
        if classes < 2:
            raise UserError(f"model.remedies: classes of ACGAN must be 2 or more, got {classes}")
        if not 0.0 <= weight < math.inf:
            raise UserError(f"model.remedies: weight of ACGAN must be 0 or more, got {weight}")
        self.classes = classes
        self.weight = weight
        self._seen: set[StepInfo] = set()
        self._told: dict[str, Tensor] = {}

    @property
    def neutral(self) -> bool:
        """Without weight nothing would teach the classes."""
        return self.weight == 0.0

    @property
    def tied(self) -> bool:
        """True: a generated example is to be of the class that its latent chose."""
        return True

    def check(self, objective: Objective, others: Sequence[Remedy]) -> None:
        """Refuses packs, whose examples are of several classes."""
        if any(other.pack > 1 for other in others):
            raise UserError(
                "ACGAN asks for each example's class, and a pack has examples of several; leave "
                "out ACGAN or Packing"
            )

    def check_data(self, facts: DataFacts) -> None:
        """Refuses data without labels, or with another number of classes."""
        if facts.classes is None:
            raise UserError("ACGAN needs labels, and these data have none; take labelled data")
        if facts.classes != self.classes:
            raise UserError(
                f"ACGAN is told of {self.classes} classes, and the data have {facts.classes}; set "
                f"its classes to {facts.classes}"
            )

    def wrap_generator(self, make: GeneratorFactory) -> GeneratorFactory:
        """Makes a generator with room for the class, and one around it."""

        def made(shape: Shape, *, latent_dim: int | None = None) -> Generator:
            if latent_dim is None:
                with torch.device("meta"):  # only to be asked for the length of its latents
                    latent_dim = make(shape).latent_dim + 1
            inner = cast(Callable[..., Generator], make)
            try:
                generator = inner(shape, latent_dim=latent_dim - 1 + self.classes)
            except TypeError as error:
                raise UserError(
                    "ACGAN makes the generator's latents longer and needs a generator with an "
                    "argument latent_dim; take another model.generator"
                ) from error
            return _Conditional(generator, classes=self.classes)

        return made

    def wrap_discriminator(self, make: DiscriminatorFactory) -> DiscriminatorFactory:
        """Adds the head that tells the class."""

        def made(shape: Shape) -> Discriminator:
            discriminator = make(shape)
            discriminator.heads[_KIND] = nn.Linear(discriminator.head_features, self.classes)
            return discriminator

        return made

    def discriminator_loss(self, loss: Tensor, round: DiscriminatorPass) -> Tensor:
        """Adds both weighted cross-entropies."""
        assert round.of_real is not None
        real = F.cross_entropy(round.of_real.others[_KIND], _labels(round))
        fake = F.cross_entropy(round.of_fake.others[_KIND], _chosen(round))
        return loss + self.weight * (real + fake)

    def generator_loss(self, loss: Tensor, round: DiscriminatorPass) -> Tensor:
        """Adds the weighted cross-entropy of the generated examples."""
        fake = F.cross_entropy(round.of_fake.others[_KIND], _chosen(round))
        return loss + self.weight * fake

    def observe(self, round: DiscriminatorPass) -> None:
        """Counts whose class was told."""
        assert round.of_real is not None
        said = {"real": round.of_real, "fake": round.of_fake}
        asked = {"real": _labels(round), "fake": _chosen(round)}
        for name, critique in said.items():
            right = (critique.others[_KIND].argmax(1) == asked[name]).float().mean()
            self._told[name] = self._told.get(name, 0.0) + round.part.weight * right
        self._seen.add(round.moment)

    def measured(self) -> dict[str, Tensor]:
        """Accuracies over the discriminator's updates since the last call."""
        updates = len(self._seen)  # in each, the weights of all ranks' parts are 1 on average
        told = {f"acgan/{name}_accuracy": sum_ / updates for name, sum_ in self._told.items()}
        self._seen, self._told = set(), {}
        return told


class _Conditional(Generator):
    """A generator with a class behind its latents; the first coordinate chooses the class."""

    def __init__(self, inner: Generator, *, classes: int) -> None:
        super().__init__()
        self.inner = inner
        self.classes = classes
        self.latent_dim = inner.latent_dim - classes + 1

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to (N, *shape)."""
        examples: Tensor = self.inner(self._with_class(latents))
        return examples

    def assigned(self, latents: Tensor, kind: str) -> Tensor | None:
        """The class that a latent chooses; what its generator says of any other kind."""
        if kind == _KIND:
            return choose(latents[:, 0], self.classes)
        return self.inner.assigned(self._with_class(latents), kind)

    def _with_class(self, latents: Tensor) -> Tensor:
        chosen = choose(latents[:, 0], self.classes)
        one_hot = chosen[:, None] == torch.arange(self.classes, device=latents.device)
        return torch.cat([latents[:, 1:], one_hot.to(latents.dtype)], dim=1)


def _labels(round: DiscriminatorPass) -> Tensor:
    assert round.part.labels is not None
    return round.part.labels


def _chosen(round: DiscriminatorPass) -> Tensor:
    chosen = round.assigned(_KIND)
    assert chosen is not None
    return chosen
