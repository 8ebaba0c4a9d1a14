"""What a remedy is: a module whose hooks all default to "no change", and how several compose.

To add one, subclass `Remedy` in a file of its own and import it in `remedies/__init__.py`. A remedy
with neutral settings is left out of the game, so a game without remedies and a game with neutral
ones are the same game. Settings that cannot go together raise `UserError` when they are composed,
before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from ganstoch.models.base import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.objectives import Objective
from ganstoch.remedies.rounds import (
    DataFacts,
    DiscriminatorFn,
    DiscriminatorPass,
    Players,
    StepInfo,
)
from ganstoch.types import MicroBatch, Shape

__all__ = ["DataFacts", "DiscriminatorFn", "DiscriminatorPass", "Players", "Remedy", "StepInfo"]


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

    def plays(self, moment: StepInfo) -> bool:
        """Whether it plays this iteration in the game's place."""
        return False

    def play(
        self,
        players: Players,
        draws: Sequence[Sequence[MicroBatch]],
        step_d: Optimizer,
        step_g: Optimizer | LightningOptimizer,
        *,
        moment: StepInfo,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        """Plays an iteration in the game's place; every gradient is left cleared.

        Gradients are of this rank's share until `Players.average_gradients` has been called.

        Returns:
            The losses, ``loss/discriminator`` and ``loss/generator``.
        """
        raise AssertionError(f"{type(self).__name__} plays an iteration and does not say how")

    def note_fakes(self, fakes: Tensor, part: MicroBatch, *, moment: StepInfo) -> None:
        """Sees a part's generated examples, without their graph, once in each of D's updates."""

    def critic_fakes(
        self, fakes: Tensor, players: Players, part: MicroBatch, *, moment: StepInfo
    ) -> Tensor:
        """The generated examples that the discriminator is trained on."""
        return fakes

    def critic_input(self, examples: Tensor) -> Tensor:
        """What the discriminator gets for examples (N, *shape)."""
        return examples

    def targets(
        self, real: Tensor, fake: Tensor, round: DiscriminatorPass
    ) -> tuple[Tensor, Tensor]:
        """The discriminator's targets, shape (critiques,) each; 1 and 0 to begin with."""
        return real, fake

    def discriminator_loss(self, loss: Tensor, round: DiscriminatorPass) -> Tensor:
        """The discriminator's loss, a scalar, given that of objective and earlier remedies."""
        return loss

    def observe(self, round: DiscriminatorPass) -> None:
        """Looks at a part of an update of the discriminator, for `measured`; changes nothing."""

    def before_discriminator_step(
        self, players: Players, step_d: Optimizer, *, moment: StepInfo
    ) -> None:
        """Called when the gradients are there."""

    def after_discriminator_step(self, discriminator: Discriminator) -> None:
        """Called when the discriminator has changed."""

    def opponent(
        self,
        critic: DiscriminatorFn,
        players: Players,
        part: MicroBatch,
        fakes: Tensor,
        *,
        moment: StepInfo,
    ) -> DiscriminatorFn:
        """The critic that the generator is trained against.

        Args:
            critic: the one so far; it takes what `critic_input` makes.
            players: the game.
            part: the part of the generator's update.
            fakes: its generated examples, with their graph.
            moment: when.
        """
        return critic

    def generator_loss(self, loss: Tensor, round: DiscriminatorPass) -> Tensor:
        """The generator's loss, a scalar, given that of objective and earlier remedies."""
        return loss

    def after_iteration(self, players: Players, fakes: Tensor | None, *, moment: StepInfo) -> None:
        """Called at the end, with (some of) the iteration's generated examples, where known."""

    def measured(self) -> dict[str, Tensor]:
        """What is worth a curve: scalars of the last iteration, by name."""
        return {}
