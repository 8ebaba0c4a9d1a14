"""What a remedy is: a module whose hooks all default to "no change", and how several compose.

To add one, subclass `Remedy` in a file of its own and import it in `remedies/__init__.py`. A remedy
with neutral settings is left out of the game, so a game without remedies and a game with neutral
ones are the same game. Settings that cannot go together raise `UserError` when they are composed,
before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from ganstoch import randomness
from ganstoch.latents import Latents
from ganstoch.models.base import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.objectives import Objective
from ganstoch.types import Critique, Part, Shape

__all__ = ["Critic", "DataFacts", "Moment", "Players", "Remedy", "Round"]

Critic = Callable[[Tensor], Critique]
"""From examples (N, *shape) to what is thought of them; packing happens inside."""


@dataclass(frozen=True, slots=True)
class Moment:
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
        return randomness.generator(self.seed, "remedy", self.iteration, part=part)

    def uniform(self, name: str, part: Part, *, every: int = 1) -> Tensor:
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
class Round:
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

    moment: Moment
    part: Part
    fakes: Tensor
    critic: Critic
    of_fake: Critique
    of_real: Critique | None
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
        pixels: the subset, shape (n, *shape), as a `Part` has it; None where nothing is trained.
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

    def discriminator_loss(
        self, critic: Critic, part: Part, fakes: Tensor, *, moment: Moment
    ) -> Tensor:
        """The discriminator's loss of one part, remedies included; a scalar."""

    def generator_loss(
        self, critic: Critic, part: Part, fakes: Tensor, *, moment: Moment
    ) -> Tensor:
        """The generator's loss of one part, remedies included; a scalar."""


class Remedy(nn.Module):
    """A remedy that changes nothing.

    Attributes:
        apart: real and generated examples must be judged in calls of their own.
        couples: an example's loss depends on others of its batch, so that it comes in one part.
        needs_real: the generator's loss needs the critique of real examples.
        relabels: it changes the discriminator's targets.
        leads: it takes a share of the objective's loss of G, so it comes before what adds to it.
        draws: it draws from the stream "remedy" at every iteration.
    """

    apart: ClassVar[bool] = False
    couples: ClassVar[bool] = False
    needs_real: ClassVar[bool] = False
    relabels: ClassVar[bool] = False
    leads: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    @property
    def neutral(self) -> bool:
        """Whether its settings change nothing."""
        return False

    # When the game is made.

    def check(self, objective: Objective, others: Sequence[Remedy]) -> None:
        """Refuses an objective, or another remedy, that it cannot go with.

        Raises:
            UserError: with the reason.
        """

    def wrap_generator(self, make: GeneratorFactory) -> GeneratorFactory:
        """What makes the generator."""
        return make

    def wrap_discriminator(self, make: DiscriminatorFactory) -> DiscriminatorFactory:
        """What makes the discriminator."""
        return make

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Makes room for what it keeps, once the networks are there and have their weights.

        Args:
            generator: G, of which it may keep copies; not to be changed.
            discriminator: D, likewise.
            shape: of one example.

        Raises:
            UserError: for a network that it cannot go with, with the reason.
        """

    @property
    def opposes(self) -> bool:
        """Whether it puts another critic in D's place in the generator's update."""
        return False

    @property
    def tied(self) -> bool:
        """Whether the discriminator's loss needs the latents that a generated example is of."""
        return False

    # When the data are known.

    @property
    def pack(self) -> int:
        """Examples that the discriminator judges together."""
        return 1

    @property
    def images_factor(self) -> int:
        """How many times m examples an update draws."""
        return 1

    @property
    def updates(self) -> tuple[int, int]:
        """Updates of the discriminator and of the generator in an iteration."""
        return 1, 1

    def check_data(self, facts: DataFacts) -> None:
        """Refuses data or latents that it cannot go with.

        Raises:
            UserError: with the reason.
        """

    def learning_rates(self, lr_d: float, lr_g: float, *, m: int, n: int) -> tuple[float, float]:
        """Step sizes of the discriminator and of the generator."""
        return lr_d, lr_g

    # In an iteration, in this order.

    def plays(self, moment: Moment) -> bool:
        """Whether it plays this iteration in the game's place."""
        return False

    def play(
        self,
        players: Players,
        draws: Sequence[Sequence[Part]],
        step_d: Optimizer,
        step_g: Optimizer | LightningOptimizer,
        *,
        moment: Moment,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        """Plays an iteration in the game's place; every gradient is left cleared.

        Returns:
            The losses, ``loss/discriminator`` and ``loss/generator``.
        """
        raise AssertionError(f"{type(self).__name__} plays an iteration and does not say how")

    def note_fakes(self, fakes: Tensor, part: Part, *, moment: Moment) -> None:
        """Sees a part's generated examples, without their graph, once in each of D's updates."""

    def critic_fakes(
        self, fakes: Tensor, players: Players, part: Part, *, moment: Moment
    ) -> Tensor:
        """The generated examples that the discriminator is trained on."""
        return fakes

    def critic_input(self, examples: Tensor) -> Tensor:
        """What the discriminator gets for examples (N, *shape)."""
        return examples

    def targets(self, real: Tensor, fake: Tensor, round: Round) -> tuple[Tensor, Tensor]:
        """The discriminator's targets, shape (critiques,) each; 1 and 0 to begin with."""
        return real, fake

    def discriminator_loss(self, loss: Tensor, round: Round) -> Tensor:
        """The discriminator's loss, a scalar, given that of objective and earlier remedies."""
        return loss

    def observe(self, round: Round) -> None:
        """Looks at a part of an update of the discriminator, for `measured`; changes nothing."""

    def before_discriminator_step(
        self, players: Players, step_d: Optimizer, *, moment: Moment
    ) -> None:
        """Called when the gradients are there."""

    def after_discriminator_step(self, discriminator: Discriminator) -> None:
        """Called when the discriminator has changed."""

    def opponent(
        self, critic: Critic, players: Players, part: Part, fakes: Tensor, *, moment: Moment
    ) -> Critic:
        """The critic that the generator is trained against.

        Args:
            critic: the one so far; it takes what `critic_input` makes.
            players: the game.
            part: the part of the generator's update.
            fakes: its generated examples, with their graph.
            moment: when.
        """
        return critic

    def generator_loss(self, loss: Tensor, round: Round) -> Tensor:
        """The generator's loss, a scalar, given that of objective and earlier remedies."""
        return loss

    def after_iteration(self, players: Players, fakes: Tensor | None, *, moment: Moment) -> None:
        """Called at the end, with (some of) the iteration's generated examples, where known."""

    def measured(self) -> dict[str, Tensor]:
        """What is worth a curve: scalars of the last iteration, by name."""
        return {}
