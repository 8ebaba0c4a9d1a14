"""What remedies are told: when it is, what is being judged, who plays, on what data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ganstoch.latents import Latents
from ganstoch.models.base import Discriminator, Generator
from ganstoch.objectives import Objective
from ganstoch.rng import rng_for
from ganstoch.types import DiscriminatorOutput, MicroBatch

__all__ = ["DataFacts", "DiscriminatorFn", "DiscriminatorPass", "Players", "StepInfo"]

DiscriminatorFn = Callable[[Tensor], DiscriminatorOutput]
"""From examples (N, *shape) to what is thought of them; packing happens inside."""


@dataclass(frozen=True, slots=True)
class StepInfo:
    """When a hook is called, and what it may draw then.

    Attributes:
        seed: the run's seed.
        iteration: the iteration, from 0.
        update: which of a player's updates in it, from 0.
    """

    seed: int
    iteration: int
    update: int = 0

    def rng(self, name: str) -> torch.Generator:
        """A generator of the stream "remedy" that no other name, moment or stream shares."""
        part = f"{name}/{self.update}"
        return rng_for(self.seed, "remedy", self.iteration, part=part)

    def uniform(self, name: str, part: MicroBatch, *, every: int = 1) -> Tensor:
        """Numbers in [0, 1) for a part's examples, however the batch was cut; shape (M / every,).

        Args:
            name: what draws.
            part: the examples.
            every: examples that share a number, as those of a pack do.
        """
        whole = torch.rand(part.size, generator=self.rng(name))
        drawn = whole[part.positions[::every]]
        return drawn.to(part.latents.device, part.latents.dtype)


@dataclass(frozen=True, slots=True)
class DiscriminatorPass:
    """One part of one update, when its loss is being made.

    Attributes:
        moment: when.
        part: the real examples and the latents.
        fakes: the generated examples that were judged, shape (M, *shape).
        critic: what judged them.
        of_fake: its critique of them, one for each pack.
        of_real: its critique of the real ones; in the generator's update None, unless the objective
            or a remedy asks for it.
        pack: examples to a critique.
        assigned: what the part's latents choose, by kind; see `Generator.assigned`.
    """

    moment: StepInfo
    part: MicroBatch
    fakes: Tensor
    critic: DiscriminatorFn
    of_fake: DiscriminatorOutput
    of_real: DiscriminatorOutput | None
    pack: int = 1
    assigned: Callable[[str], Tensor | None] = lambda kind: None


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of data and latents once they are set up.

    Attributes:
        n: examples in the subset.
        m: examples in a logical batch, as asked for.
        classes: number of classes; None where there are no labels.
        latents: the bank.
        pixels: the subset, shape (n, *shape), as `MicroBatch` has it; None if nothing trains.
        labels: its classes, int64, shape (n,); None where there are none.
    """

    n: int
    m: int
    classes: int | None
    latents: Latents
    pixels: Tensor | None = None
    labels: Tensor | None = None


class Players(Protocol):
    """The game, as far as a remedy may look into it."""

    generator: Generator
    discriminator: Discriminator
    objective: Objective
    latents: Latents | None

    @property
    def global_rank(self) -> int:
        """Which of the ranks this is, that share every batch."""

    @property
    def world_size(self) -> int:
        """How many they are."""

    def average_gradients(self, player: nn.Module) -> None:
        """Averages a player's gradients over the ranks, so that they are those of the batch."""

    def keep_largest(self, values: Tensor) -> None:
        """Puts the largest of all ranks' values in each one's place."""

    def discriminator_loss(
        self, critic: DiscriminatorFn, part: MicroBatch, fakes: Tensor, *, moment: StepInfo
    ) -> Tensor:
        """The discriminator's loss of one part, remedies included; a scalar."""

    def generator_loss(
        self, critic: DiscriminatorFn, part: MicroBatch, fakes: Tensor, *, moment: StepInfo
    ) -> Tensor:
        """The generator's loss of one part, remedies included; a scalar."""
