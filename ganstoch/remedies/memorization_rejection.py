"""Memorization rejection: near copies of training images train neither player.

[1] After Bai et al. 2022, "Reducing Training Sample Memorization in GANs by Training with
Memorization Rejection". Distances are of pixels, not of features, and a rejected image keeps its
place in the batch with a weight of 0 instead of being drawn again: a fixed bank has no other.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.objectives import Objective, Pointwise
from ganstoch.remedies.base import DataFacts, DiscriminatorPass, Remedy, RemedySpec, overrides
from ganstoch.types import to_signed

_ROWS = 1024  # of a matrix of distances at a time


class MemorizationRejection(Remedy):
    """Generated examples nearer to a training example than a threshold count for nothing.

    Args:
        threshold: as a share of the median distance of a training example to the nearest other, in
            l2, 0 or more; 0 is the plain GAN.
    """

    def __init__(self, *, threshold: float = 0.5) -> None:
        super().__init__()
        self._require(0.0 <= threshold < math.inf, "threshold", threshold, "0 or more")
        self.threshold = threshold
        self.spec = RemedySpec(is_noop=threshold == 0.0, priority=2)

    def check(self, objective: Objective, others: Sequence[Remedy]) -> None:
        """Needs a loss of single logits, each of one example."""
        if not isinstance(objective, Pointwise):
            raise UserError(
                f"MemorizationRejection leaves out single images, and {type(objective).__name__} "
                "compares them; take an objective such as NonSaturating"
            )
        self._objective = objective
        for other in others:
            if other.spec.pack > 1 or overrides(other, "targets", "fakes_for_discriminator"):
                raise UserError(
                    f"MemorizationRejection leaves out single generated images, and "
                    f"{type(other).__name__} mixes them or their labels; take one of them"
                )

    def setup(self, facts: DataFacts) -> None:
        """Takes the training examples and how far apart they lie."""
        if facts.pixels is None:  # nothing will be trained
            return
        real = facts.pixels
        real = to_signed(real) if real.dtype == torch.uint8 else real
        self.register_buffer("real", real.flatten(1), persistent=False)
        self.real: Tensor
        two = min(2, len(real))  # smallest distances of a row, of which one is its own, 0
        nearest = [
            torch.cdist(rows, self.real).topk(two, largest=False).values[:, -1]
            for rows in torch.split(self.real, _ROWS)
        ]
        self.radius = self.threshold * torch.cat(nearest).median().item()

    def rejected(self, examples: Tensor) -> Tensor:
        """Which of the examples (M, *shape) are near copies, as 0 or 1 (M,)."""
        real = self.real.to(examples)
        nearest = [
            torch.cdist(rows, real).amin(1) for rows in torch.split(examples.flatten(1), _ROWS)
        ]
        return (torch.cat(nearest) < self.radius).to(examples.dtype)

    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The loss less what the objective has it for near copies, a scalar."""
        of_copies = self._objective.fake_loss(scores.of_fake.logits)
        return loss - (self.rejected(scores.generated.detach()) * of_copies).mean()

    def observe(self, scores: DiscriminatorPass) -> Mapping[str, Tensor]:
        """The share of near copies."""
        return {"memorization_rejection/rejected": self.rejected(scores.generated).mean()}

    def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """As the discriminator's."""
        of_copies = self._objective.generator_loss(scores.of_fake.logits)
        return loss - (self.rejected(scores.generated.detach()) * of_copies).mean()
