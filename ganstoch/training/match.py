"""One iteration of the game: one discriminator update, then one generator update.

[1] Yazici et al. 2020, Sec. 3 (updates of phi and theta). `Match.play` is the whole algorithm;
remedies act at the places where it asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from ganstoch.latents import Latents
from ganstoch.models import Discriminator, Generator
from ganstoch.models.base import frozen
from ganstoch.objectives import Objective
from ganstoch.remedies import Remedies
from ganstoch.remedies.base import DiscriminatorFn, DiscriminatorPass, StepInfo
from ganstoch.training.distributed import average_gradients, keep_largest
from ganstoch.training.ema import EMA
from ganstoch.types import MicroBatch

__all__ = ["Match"]


class Match(LightningModule):
    """Two players, what they play for, and how an iteration goes.

    Attributes:
        generator: G, in training.
        discriminator: D.
        average: the average of G, which is what gets measured.
        objective: the losses.
        remedies: what else acts on an iteration.
        latents: the bank; None until the data are known.
        apart: whether D must judge real and generated examples in calls of their own.
        seed: decides every draw.
        losses: of the last iteration, scalars on the device.
    """

    generator: Generator
    discriminator: Discriminator
    average: EMA
    objective: Objective
    remedies: Remedies
    latents: Latents | None
    apart: bool
    seed: int
    losses: dict[str, Tensor]

    def play(
        self,
        draws: Sequence[Sequence[MicroBatch]],
        step_d: Optimizer,
        step_g: Optimizer | LightningOptimizer,
        *,
        iteration: int,
        backward: Callable[[Tensor], None] = Tensor.backward,
    ) -> None:
        """One iteration: D's update, G's update, one step of the average.

        Args:
            draws: one batch an update, each in parts that fit in memory: one batch serves the
                last of D's updates and the first of G's.
            step_d: optimiser of the discriminator.
            step_g: optimiser of the generator.
            iteration: number of this iteration, from 0.
            backward: how a loss is propagated back; Lightning's way under its trainer.
        """
        moment = StepInfo(self.seed, iteration)
        fakes: Tensor | None = None
        if instead := self.remedies.player(moment):
            self.losses = instead.play(
                self, draws, step_d, step_g, moment=moment, backward=backward
            )
        else:
            last_d = self.remedies.updates[0] - 1
            for update, parts in enumerate(draws[: last_d + 1]):
                moment = StepInfo(self.seed, iteration, update)
                shared = update == last_d and len(parts) == 1
                loss_d, fakes = self.update_discriminator(parts, step_d, moment, backward, shared)
            for update, parts in enumerate(draws[last_d:]):
                moment = StepInfo(self.seed, iteration, update)
                ready = fakes if update == 0 and shared else None
                final = last_d + update == len(draws) - 1
                step = step_g if final else getattr(step_g, "optimizer", step_g)  # counted once
                loss_g = self.update_generator(parts, step, moment, backward, ready)
            self.losses = {"loss/discriminator": loss_d, "loss/generator": loss_g}
            self.losses |= self.remedies.measured()
        self.remedies.after_iteration(self, fakes, moment=StepInfo(self.seed, iteration))
        self.average.follow(self.generator, iteration=iteration)

    def update_discriminator(
        self,
        parts: Sequence[MicroBatch],
        step: Optimizer,
        moment: StepInfo,
        backward: Callable[[Tensor], None],
        shared: bool,
    ) -> tuple[Tensor, Tensor]:
        """One update of D.

        G does not change before its own update, so where the batch is one part, one forward pass
        of G is ``shared`` by both players; otherwise each part's examples are made twice, to hold
        only one part's.

        Returns:
            The loss, and the examples that G made, of the last part.
        """
        total = torch.zeros((), device=self.device)
        self.discriminator.power_iterate()
        for part in parts:
            with torch.set_grad_enabled(shared):
                fakes = self.generator(part.latents)
            self.remedies.note_fakes(fakes.detach(), part, moment=moment)
            round = self.judge(self.discriminator, part, fakes.detach(), moment=moment)
            loss = part.weight * self.remedies.discriminator_loss(self.objective, round)
            backward(loss)
            total = total + loss.detach()
            self.remedies.observe(round)
            del round  # would live on beside the next part
        self.average_gradients(self.discriminator)
        self.remedies.before_discriminator_step(self, step, moment=moment)
        step.step()
        step.zero_grad()
        self.remedies.after_discriminator_step(self.discriminator)
        return total, fakes

    def update_generator(
        self,
        parts: Sequence[MicroBatch],
        step: Optimizer | LightningOptimizer,
        moment: StepInfo,
        backward: Callable[[Tensor], None],
        ready: Tensor | None,
    ) -> Tensor:
        """One update of G, from the examples that are ``ready`` or from new ones; its loss."""
        total = torch.zeros((), device=self.device)
        self.discriminator.power_iterate()
        with frozen(self.discriminator):
            for part in parts:
                fakes = self.generator(part.latents) if ready is None else ready
                critic = self.remedies.opponent(
                    self.discriminator, self, part, fakes, moment=moment
                )
                loss = part.weight * self.generator_loss(critic, part, fakes, moment=moment)
                backward(loss)
                total = total + loss.detach()
        self.average_gradients(self.generator)
        step.step()
        step.zero_grad()
        return total

    @property
    def world_size(self) -> int:
        """Ranks that share every batch; `global_rank` says which of them this is."""
        return 1 if self._trainer is None else self._trainer.world_size

    def average_gradients(self, player: nn.Module) -> None:
        """Averages a player's gradients over the ranks, so that they are those of the batch."""
        if self.world_size > 1:
            average_gradients(player, world=self.world_size)

    def keep_largest(self, values: Tensor) -> None:
        """Puts the largest of all ranks' values in each one's place."""
        if self.world_size > 1:
            keep_largest(values)

    def discriminator_loss(
        self, critic: DiscriminatorFn, part: MicroBatch, fakes: Tensor, *, moment: StepInfo
    ) -> Tensor:
        """D's loss of one part, a scalar; ``fakes`` are G's examples, shape (M, *shape)."""
        round = self.judge(critic, part, fakes, moment=moment)
        return self.remedies.discriminator_loss(self.objective, round)

    def judge(
        self, critic: DiscriminatorFn, part: MicroBatch, fakes: Tensor, *, moment: StepInfo
    ) -> DiscriminatorPass:
        """What D makes its loss of; ``fakes`` are G's examples, shape (M, *shape)."""
        remedies = self.remedies
        fakes = remedies.critic_fakes(fakes, self, part, moment=moment)
        of_real, of_fake = remedies.judge(critic, part.real, fakes, apart=self.apart)
        said = partial(self.generator.assigned, part.latents)
        critic = remedies.packed(critic)
        return DiscriminatorPass(moment, part, fakes, critic, of_fake, of_real, remedies.pack, said)

    def generator_loss(
        self, critic: DiscriminatorFn, part: MicroBatch, fakes: Tensor, *, moment: StepInfo
    ) -> Tensor:
        """G's loss of one part, a scalar; ``fakes`` are its examples, shape (M, *shape)."""
        remedies = self.remedies
        of_fake, of_real = critic(remedies.critic_input(fakes)), None
        if remedies.needs_real:
            of_real = critic(remedies.critic_input(part.real))
        said = partial(self.generator.assigned, part.latents)
        critic = remedies.packed(critic)
        round = DiscriminatorPass(
            moment, part, fakes, critic, of_fake, of_real, remedies.pack, said
        )
        return remedies.generator_loss(self.objective, round)
