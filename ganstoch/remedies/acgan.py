"""ACGAN: a class conditions the generator, and the discriminator classifies."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models.layers import DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.remedies.base import DataFacts, DiscriminatorPass, Remedy, RemedySpec
from ganstoch.remedies.choice import choose, chosen, cross_entropy, with_head, with_latents
from ganstoch.types import Shape

KIND = "class"


class ACGAN(Remedy):
    """A class conditions the generator; a second head of the discriminator predicts it.

    A further coordinate of the latent chooses the class, see `choose`. The generator gets the rest
    of the latent and behind it the class as a one-hot vector. With weight w, the discriminator's
    loss gains w (CE(real, its label) + CE(generated, its class)), and the generator's w CE(
    generated, its class), as in [1], Sec. 4. The head is one linear layer, with no spectral norm.

    Logged: ``acgan/{real,fake}_accuracy``, shares of the examples whose class it tells, in [0, 1].

    [1] Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs".

    Args:
        classes: how many the data have.
        weight: w; 0 is the plain GAN.
    """

    def __init__(self, *, classes: int, weight: float = 1.0) -> None:
        super().__init__()
        self._require(classes >= 2, "classes", classes, "2 or more")
        self._require(0.0 <= weight < math.inf, "weight", weight, "0 or more")
        self.classes, self.weight = classes, weight
        self.spec = RemedySpec(is_noop=weight == 0.0, pairs_latents=True)

    def setup(self, facts: DataFacts) -> None:
        """Refuses data without labels, or with another number of classes."""
        if facts.labels is None:
            raise UserError("ACGAN needs labels, and these data have none; take labelled data")
        classes = int(facts.labels.max()) + 1
        if classes != self.classes:
            raise UserError(
                f"ACGAN is told of {self.classes} classes, and the data have {classes}; set its "
                f"classes to {classes}"
            )

    def wrap_networks(
        self, generator: GeneratorFactory, discriminator: DiscriminatorFactory
    ) -> tuple[GeneratorFactory, DiscriminatorFactory]:
        """A generator that takes a class, and a discriminator with a head that tells it."""

        def conditional(shape: Shape, *, latent_dim: int | None = None) -> Generator:
            if latent_dim is None:
                with torch.device("meta"):  # only to be asked for the length of its latents
                    latent_dim = generator(shape).latent_dim + 1
            inner = with_latents(generator, shape, latent_dim=latent_dim - 1 + self.classes)
            return _Conditional(inner, classes=self.classes)

        return conditional, with_head(discriminator, KIND, count=self.classes)

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """Adds both weighted cross-entropies."""
        assert scores.of_real is not None
        assert scores.batch.labels is not None
        real = F.cross_entropy(scores.of_real.others[KIND], scores.batch.labels)
        return loss + self.weight * (real + cross_entropy(scores, KIND))

    def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """Adds the weighted cross-entropy of the generated examples."""
        return loss + self.weight * cross_entropy(scores, KIND)

    def observe(self, scores: DiscriminatorPass) -> dict[str, Tensor]:
        """Accuracies of the second head."""
        assert scores.of_real is not None
        assert scores.batch.labels is not None
        real = scores.of_real.others[KIND].argmax(1) == scores.batch.labels
        fake = scores.of_fake.others[KIND].argmax(1) == chosen(scores, KIND)
        accuracies = {"acgan/real_accuracy": real, "acgan/fake_accuracy": fake}
        return {name: right.float().mean() for name, right in accuracies.items()}


class _Conditional(Generator):
    def __init__(self, inner: Generator, *, classes: int) -> None:
        super().__init__()
        self.inner = inner
        self.classes = classes
        self.latent_dim = inner.latent_dim - classes + 1

    def forward(self, latents: Tensor) -> Tensor:
        examples: Tensor = self.inner(self._with_class(latents))
        return examples

    def assigned(self, latents: Tensor, kind: str) -> Tensor | None:
        if kind == KIND:
            return choose(latents[:, 0], self.classes)
        return self.inner.assigned(self._with_class(latents), kind)

    def _with_class(self, latents: Tensor) -> Tensor:
        one_hot = F.one_hot(choose(latents[:, 0], self.classes), self.classes)
        return torch.cat([latents[:, 1:], one_hot.to(latents.dtype)], dim=1)
