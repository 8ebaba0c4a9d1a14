"""Several remedies as one: each hook passes through all of them, in the order given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganstoch.errors import UserError
from ganstoch.models.base import (
    Discriminator,
    DiscriminatorFactory,
    Generator,
    GeneratorFactory,
)
from ganstoch.objectives import Objective, Pointwise
from ganstoch.remedies.base import (
    DataFacts,
    DiscriminatorFn,
    DiscriminatorPass,
    Players,
    Remedy,
    StepInfo,
)
from ganstoch.types import DiscriminatorOutput, MicroBatch, Shape

__all__ = ["Remedies"]


class Remedies(nn.ModuleList):
    """The remedies of a game, without the neutral ones.

    Args:
        given: the remedies; two of one class are refused.
        objective: the losses they go with.

    Raises:
        UserError: if they cannot go together, with the reason.
    """

    def __init__(self, given: Sequence[Remedy], *, objective: Objective) -> None:
        super().__init__(remedy for remedy in given if not remedy.neutral)
        self.objective = objective
        names = [type(remedy).__name__ for remedy in self.each()]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"model.remedies has {name} twice; give it once")
        if any(r.relabels for r in self.each()) and not isinstance(objective, Pointwise):
            raise UserError(
                f"{type(objective).__name__} compares real with generated images and has no labels "
                "to smooth or to flip; take an objective such as NonSaturating"
            )
        playing = [type(r).__name__ for r in self.each() if type(r).play is not Remedy.play]
        if len(playing) > 1:
            raise UserError(
                f"{' and '.join(playing)} both play the iteration their own way; take one of them"
            )
        opposing = [type(r).__name__ for r in self.each() if r.opposes]
        if len(opposing) > 1:
            raise UserError(
                f"{' and '.join(opposing)} each train the generator against a critic of their own; "
                "take one of them"
            )
        for remedy in self.each():
            remedy.check(objective, [other for other in self.each() if other is not remedy])

    def each(self) -> Iterator[Remedy]:
        """The remedies, in order."""
        return (cast(Remedy, module) for module in self)

    @property
    def couples(self) -> str | None:
        """Who needs a batch in one part, if anybody does."""
        if self.objective.couples:
            return type(self.objective).__name__
        return next((type(r).__name__ for r in self.each() if r.couples), None)

    @property
    def pack(self) -> int:
        """Examples that the discriminator judges together."""
        return math.prod(remedy.pack for remedy in self.each())

    @property
    def images_factor(self) -> int:
        """How many times m examples an update draws."""
        return math.prod(remedy.images_factor for remedy in self.each())

    @property
    def updates(self) -> tuple[int, int]:
        """Updates of the discriminator and of the generator in an iteration."""
        both = [remedy.updates for remedy in self.each()]
        return math.prod(d for d, _ in both), math.prod(g for _, g in both)

    def check_data(self, facts: DataFacts) -> None:
        """Refuses data or latents that some remedy cannot go with."""
        for remedy in self.each():
            remedy.check_data(facts)

    def wrap(
        self, generator: GeneratorFactory, discriminator: DiscriminatorFactory
    ) -> tuple[GeneratorFactory, DiscriminatorFactory]:
        """What makes the networks."""
        for remedy in self.each():
            generator = remedy.wrap_generator(generator)
            discriminator = remedy.wrap_discriminator(discriminator)
        return generator, discriminator

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Makes room for what the remedies keep of the networks."""
        for remedy in self.each():
            remedy.attach(generator, discriminator, shape=shape)

    def learning_rates(self, lr: float, *, m: int, n: int) -> tuple[float, float]:
        """Step sizes of the discriminator and of the generator."""
        lr_d = lr_g = lr
        for remedy in self.each():
            lr_d, lr_g = remedy.learning_rates(lr_d, lr_g, m=m, n=n)
        return lr_d, lr_g

    def player(self, moment: StepInfo) -> Remedy | None:
        """The remedy that plays this iteration in the game's place, if one does."""
        return next((remedy for remedy in self.each() if remedy.plays(moment)), None)

    def judge(
        self, critic: DiscriminatorFn, real: Tensor, fakes: Tensor, *, apart: bool
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """Critiques of real and of generated examples, in one pass where nothing is against it."""
        shown = [self.critic_input(examples) for examples in (real, fakes)]
        if apart or any(remedy.apart for remedy in self.each()):
            return critic(shown[0]), critic(shown[1])
        return critic(torch.cat(shown)).halves()

    def packed(self, critic: DiscriminatorFn) -> DiscriminatorFn:
        """A critic that takes examples, given one that takes what the discriminator gets."""
        return lambda examples: critic(self.critic_input(examples))

    def critic_input(self, examples: Tensor) -> Tensor:
        """What the discriminator gets."""
        for remedy in self.each():
            examples = remedy.critic_input(examples)
        return examples

    def note_fakes(self, fakes: Tensor, part: MicroBatch, *, moment: StepInfo) -> None:
        """Shows a part's generated examples, once in each of D's updates."""
        for remedy in self.each():
            remedy.note_fakes(fakes, part, moment=moment)

    def critic_fakes(
        self, fakes: Tensor, players: Players, part: MicroBatch, *, moment: StepInfo
    ) -> Tensor:
        """The generated examples that the discriminator is trained on."""
        for remedy in self.each():
            fakes = remedy.critic_fakes(fakes, players, part, moment=moment)
        return fakes

    def discriminator_loss(self, objective: Objective, round: DiscriminatorPass) -> Tensor:
        """The objective's loss under the remedies' targets, and what they make of it."""
        assert round.of_real is not None
        real, fake = round.of_real.logits, round.of_fake.logits
        if any(remedy.relabels for remedy in self.each()):
            assert isinstance(objective, Pointwise)
            ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
            for remedy in self.each():
                ones, zeros = remedy.targets(ones, zeros, round)
            loss = objective.soft(real, fake, real_targets=ones, fake_targets=zeros)
        else:
            loss = objective.discriminator(real, fake)
        for remedy in self.each():
            loss = remedy.discriminator_loss(loss, round)
        return loss

    def observe(self, round: DiscriminatorPass) -> None:
        """Shows a part of an update of the discriminator to whoever measures there."""
        for remedy in self.each():
            remedy.observe(round)

    def generator_loss(self, objective: Objective, round: DiscriminatorPass) -> Tensor:
        """The objective's loss, and what the remedies make of it."""
        real = None if round.of_real is None else round.of_real.logits
        loss = objective.generator(round.of_fake.logits, real)
        for remedy in sorted(self.each(), key=lambda remedy: not remedy.leads):
            loss = remedy.generator_loss(loss, round)
        return loss

    @property
    def needs_real(self) -> bool:
        """Whether the generator's loss needs the critique of real examples."""
        return self.objective.paired or any(remedy.needs_real for remedy in self.each())

    def before_discriminator_step(
        self, players: Players, step_d: Optimizer, *, moment: StepInfo
    ) -> None:
        """Called when the discriminator's gradients are there."""
        for remedy in self.each():
            remedy.before_discriminator_step(players, step_d, moment=moment)

    def after_discriminator_step(self, discriminator: Discriminator) -> None:
        """Called when the discriminator has changed."""
        for remedy in self.each():
            remedy.after_discriminator_step(discriminator)

    def opponent(
        self,
        critic: DiscriminatorFn,
        players: Players,
        part: MicroBatch,
        fakes: Tensor,
        *,
        moment: StepInfo,
    ) -> DiscriminatorFn:
        """The critic that the generator is trained against."""
        for remedy in self.each():
            critic = remedy.opponent(critic, players, part, fakes, moment=moment)
        return critic

    def after_iteration(self, players: Players, fakes: Tensor | None, *, moment: StepInfo) -> None:
        """Called at the end of an iteration."""
        for remedy in self.each():
            remedy.after_iteration(players, fakes, moment=moment)

    def measured(self) -> dict[str, Tensor]:
        """What is worth a curve."""
        return {name: value for remedy in self.each() for name, value in remedy.measured().items()}
