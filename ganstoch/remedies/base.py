"""The base class of remedies, what their hooks are given, and several remedies as one.

To add a remedy, subclass `Remedy` in a file of its own and import it in `remedies/__init__.py`. To
add a hook, declare it in `Remedy` and call it in `ganstoch.training.gan.GAN` for each remedy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from ganstoch.errors import UserError
from ganstoch.latents import Latents
from ganstoch.models.layers import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory
from ganstoch.objectives import Objective, Pointwise
from ganstoch.rng import rng_for
from ganstoch.types import DiscriminatorOutput, MicroBatch, Shape

__all__ = [
    "DataFacts",
    "DiscriminatorFn",
    "DiscriminatorPass",
    "GANView",
    "Remedies",
    "Remedy",
    "RemedySpec",
    "StepInfo",
    "changes_gradients",
    "overrides",
    "pack_examples",
]

DiscriminatorFn = Callable[[Tensor], DiscriminatorOutput]
"""From examples (N, *shape) to the discriminator's output for them."""

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class StepInfo:
    """Which update of which iteration a hook is called in, and what it may draw there.

    Attributes:
        seed: the run's seed.
        iteration: the iteration, from 0.
        update: which of a player's updates in it, from 0.
    """

    seed: int
    iteration: int
    update: int = 0

    def rng(self, name: str) -> torch.Generator:
        """A generator of the stream "remedy" that no other name, update or stream shares."""
        return rng_for(self.seed, "remedy", self.iteration, part=f"{name}/{self.update}")

    def uniform(self, name: str, batch: MicroBatch, *, every: int = 1) -> Tensor:
        """Numbers in [0, 1) for a micro-batch, however the batch is cut; shape (M / every,).

        Args:
            name: what draws.
            batch: the examples.
            every: examples that share a number, as those of a pack do.
        """
        whole = torch.rand(batch.size, generator=self.rng(name))
        drawn = whole[batch.positions[::every]]
        return drawn.to(batch.latents.device, batch.latents.dtype)


@dataclass(frozen=True, slots=True)
class DiscriminatorPass:
    """The discriminator's outputs for a micro-batch, from which either player's loss is made.

    Attributes:
        info: when.
        batch: the real examples and the latents.
        generated: what the generator made of the latents, shape (M, *shape).
        fakes: the examples in their places that the discriminator saw, shape (M, *shape).
        critic: the discriminator; it packs the examples itself.
        of_fake: its output for ``fakes``, one for each pack.
        of_real: its output for real examples; None in the generator's update, unless the objective
            or a remedy needs it.
        pack: examples to an output.
        assigned: what the latents choose, by kind; see `Generator.assigned`.
    """

    info: StepInfo
    batch: MicroBatch
    generated: Tensor
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
        m: examples in a logical batch, as configured.
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


class GANView(Protocol):
    """What a remedy may use of the GAN."""

    generator: Generator
    discriminator: Discriminator
    latents: Latents | None

    @property
    def global_rank(self) -> int:
        """Which rank this is, from 0."""

    @property
    def world_size(self) -> int:
        """How many ranks share every batch."""

    def average_gradients(self, player: nn.Module) -> None:
        """Averages a network's gradients over the ranks."""

    def keep_largest(self, values: Tensor) -> None:
        """Puts the largest of all ranks' values in each one's place."""

    def discriminator_loss(
        self, critic: DiscriminatorFn, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> Tensor:
        """The discriminator's loss of a micro-batch, remedies included; a scalar."""

    def generator_loss(
        self, critic: DiscriminatorFn, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> Tensor:
        """The generator's loss of a micro-batch, remedies included; a scalar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedySpec:
    """What a remedy asks of the training step as a whole; by default nothing.

    Attributes:
        is_noop: its settings change nothing; it is left out.
        separate_passes: the discriminator sees real and generated examples in separate calls.
        needs_full_batch: an example's loss depends on others of its batch, which therefore comes
            in one micro-batch.
        needs_real: the generator's loss needs the discriminator's output for real examples.
        pairs_latents: the discriminator's loss needs the latent that each generated example is of.
        stochastic: it draws from the stream "remedy" in every iteration.
        replaces_critic: it trains the generator against another critic than the discriminator.
        priority: in the generator's loss, remedies of higher priority come first.
        pack: examples that the discriminator scores together, concatenated along the channels.
        images_factor: how many times m examples an update draws.
        updates: updates of the discriminator and of the generator in an iteration.
        lr_factors: on the learning rates of the discriminator and of the generator.
    """

    is_noop: bool = False
    separate_passes: bool = False
    needs_full_batch: bool = False
    needs_real: bool = False
    pairs_latents: bool = False
    stochastic: bool = False
    replaces_critic: bool = False
    priority: int = 0
    pack: int = 1
    images_factor: int = 1
    updates: tuple[int, int] = (1, 1)
    lr_factors: tuple[float, float] = (1.0, 1.0)


def _changes_gradients(hook: _F) -> _F:
    """Marks a hook whose gradients are not sums over single examples of the objective alone."""
    hook.__dict__["changes_gradients"] = True
    return hook


class Remedy(nn.Module):
    """A remedy that changes nothing: every hook defaults to "no change".

    Settings out of their range, and what a remedy cannot go with, end in a `UserError`.
    """

    def _require(self, valid: bool, name: str, value: float | None, range_: str) -> None:
        """Refuses a setting out of its range."""
        if not valid:
            kind = type(self).__name__
            raise UserError(f"model.remedies: {name} of {kind} must be {range_}, got {value}")

    # When the GAN is made.

    @property
    def spec(self) -> RemedySpec:
        """What it asks of the training step; factors on learning rates only after `setup`."""
        return RemedySpec()

    def check(self, objective: Objective, others: Sequence[Remedy]) -> None:
        """Refuses an objective, or another remedy, that it cannot go with."""

    @_changes_gradients
    def wrap_networks(
        self, generator: GeneratorFactory, discriminator: DiscriminatorFactory
    ) -> tuple[GeneratorFactory, DiscriminatorFactory]:
        """What makes the networks."""
        return generator, discriminator

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Makes room for what it keeps of the networks, which it leaves as they are."""

    def setup(self, facts: DataFacts) -> None:
        """Takes note of data and latents, or refuses them."""

    # In an iteration, in this order.

    @_changes_gradients
    def train_step(
        self,
        gan: GANView,
        batches: Sequence[Sequence[MicroBatch]],
        step_d: Optimizer,
        step_g: Optimizer | LightningOptimizer,
        *,
        info: StepInfo,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor] | None:
        """Trains for one iteration in the place of both players' updates, or returns None.

        It leaves every gradient cleared. Gradients are of this rank's share until
        `GANView.average_gradients` has been called. Arguments are those of `GAN.train_iteration`.

        Returns:
            The losses, ``loss/discriminator`` and ``loss/generator``.
        """
        return None

    @_changes_gradients
    def fakes_for_discriminator(
        self, fakes: Tensor, gan: GANView, batch: MicroBatch, *, info: StepInfo
    ) -> Tensor:
        """The generated examples that the discriminator is trained on, shape (M, *shape)."""
        return fakes

    @_changes_gradients
    def targets(
        self, real: Tensor, fake: Tensor, scores: DiscriminatorPass
    ) -> tuple[Tensor, Tensor]:
        """The discriminator's targets, shape (logits,) each; 1 and 0 to begin with."""
        return real, fake

    @_changes_gradients
    def discriminator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The discriminator's loss, a scalar, given that of objective and earlier remedies."""
        return loss

    def observe(self, scores: DiscriminatorPass) -> Mapping[str, Tensor]:
        """Sees each micro-batch of a discriminator update once; scalars to log, means over it."""
        return {}

    def around_discriminator_step(
        self, gan: GANView, step_d: Optimizer, *, info: StepInfo
    ) -> AbstractContextManager[None]:
        """A context around the optimizer's step, entered when the gradients are there."""
        return nullcontext()

    @_changes_gradients
    def critic_for_generator(
        self,
        critic: DiscriminatorFn,
        gan: GANView,
        batch: MicroBatch,
        fakes: Tensor,
        *,
        info: StepInfo,
    ) -> DiscriminatorFn:
        """The critic that the generator is trained against; ``fakes`` have their graph."""
        return critic

    @_changes_gradients
    def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The generator's loss, a scalar, given that of objective and earlier remedies."""
        return loss

    def after_step(self, gan: GANView, *, info: StepInfo) -> None:
        """Called at the end of an iteration."""


def overrides(remedy: Remedy, *hooks: str) -> bool:
    """Whether a remedy has one of these hooks of its own."""
    return any(getattr(type(remedy), hook) is not getattr(Remedy, hook) for hook in hooks)


def changes_gradients(remedy: Remedy) -> bool:
    """Whether it makes a gradient more than a sum of the objective's over single examples.

    Remedies that change step sizes, weights after a step, or how many steps there are, do not.
    """
    marked = [name for name, hook in vars(Remedy).items() if hasattr(hook, "changes_gradients")]
    spec = remedy.spec
    summed = spec.needs_full_batch or spec.needs_real or spec.pack * spec.images_factor > 1
    return summed or overrides(remedy, *marked)


def pack_examples(examples: Tensor, pack: int) -> Tensor:
    """Examples (N, C, ...) as packs (N / pack, pack * C, ...); a view where it can be one."""
    if pack == 1:
        return examples
    assert len(examples) % pack == 0, (len(examples), pack)
    channels, *rest = examples.shape[1:]
    return examples.reshape(len(examples) // pack, pack * channels, *rest)


class Remedies(nn.ModuleList):
    """The remedies of a GAN, in their order, without those that change nothing.

    Attributes:
        spec: what they ask of the training step together.
        by_priority: the order of their terms in the generator's loss.
    """

    def __init__(self, given: Sequence[Remedy], *, objective: Objective) -> None:
        super().__init__(remedy for remedy in given if not remedy.spec.is_noop)
        names = [type(remedy).__name__ for remedy in self]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"model.remedies has {name} twice; give it once")
        self.changes_targets = any(overrides(r, "targets") for r in self)
        if self.changes_targets and not isinstance(objective, Pointwise):
            raise UserError(
                f"{type(objective).__name__} compares real with generated images and has no labels "
                "to smooth or to flip; take an objective such as NonSaturating"
            )
        for clash, several in {
            "replace the training step": [r for r in self if overrides(r, "train_step")],
            "replace the generator's critic": [r for r in self if r.spec.replaces_critic],
        }.items():
            if len(several) > 1:
                both = " and ".join(type(r).__name__ for r in several)
                raise UserError(f"{both} both {clash}; take one of them")
        for remedy in self:
            remedy.check(objective, [other for other in self if other is not remedy])
        self.spec = _together(remedy.spec for remedy in self)
        self.by_priority = sorted(self, key=lambda remedy: -remedy.spec.priority)

    def __iter__(self) -> Iterator[Remedy]:
        return (cast(Remedy, module) for module in super().__iter__())

    def setup(self, facts: DataFacts) -> None:
        """Shows them data and latents."""
        for remedy in self:
            remedy.setup(facts)
        self.spec = _together(remedy.spec for remedy in self)


def _together(specs: Iterable[RemedySpec]) -> RemedySpec:
    """What several ask for: each flag if one has it, numbers multiplied."""
    several = list(specs)
    return RemedySpec(
        separate_passes=any(s.separate_passes for s in several),
        needs_full_batch=any(s.needs_full_batch for s in several),
        needs_real=any(s.needs_real for s in several),
        pairs_latents=any(s.pairs_latents for s in several),
        stochastic=any(s.stochastic for s in several),
        replaces_critic=any(s.replaces_critic for s in several),
        pack=math.prod(s.pack for s in several),
        images_factor=math.prod(s.images_factor for s in several),
        updates=(
            math.prod(s.updates[0] for s in several),
            math.prod(s.updates[1] for s in several),
        ),
        lr_factors=(
            math.prod(s.lr_factors[0] for s in several),
            math.prod(s.lr_factors[1] for s in several),
        ),
    )
