"""The base class of remedies, what their hooks are given, and several remedies as one.

To add a remedy, subclass `Remedy` in a file of its own and import it in `remedies/__init__.py`. To
add a hook, declare it in `Remedy` and call it in `ganstoch.training.gan.GAN` for each remedy. It is
taken to change gradients unless `NEUTRAL_HOOKS` names it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, Protocol, cast

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

DiscriminatorFn = Callable[[Tensor], DiscriminatorOutput]  # of packs, where there are packs
Parts = Sequence[MicroBatch]  # of the batch of one update
Batches = Sequence[Parts]
AnyOptimizer = Optimizer | LightningOptimizer
Optimizers = tuple[Optimizer, AnyOptimizer]  # the discriminator's first


@dataclass(frozen=True, slots=True)
class StepInfo:
    """Which update of which iteration a hook is called in, and what it may draw there."""

    seed: int
    iteration: int
    update: int = 0  # which of a player's updates in the iteration

    def rng(self, name: str) -> torch.Generator:
        """A generator of the stream "remedy" that no other name, update or stream shares."""
        return rng_for(self.seed, "remedy", self.iteration, part=f"{name}/{self.update}")

    def uniform(self, name: str, batch: MicroBatch, *, every: int = 1) -> Tensor:
        """Numbers in [0, 1), one for ``every`` examples (M / every,), however a batch is cut."""
        drawn = torch.rand(batch.size, generator=self.rng(name))[batch.positions[::every]]
        return drawn.to(batch.latents.device, batch.latents.dtype)


@dataclass(frozen=True, slots=True)
class DiscriminatorPass:
    """The discriminator's outputs for a micro-batch, from which either player's loss is made."""

    info: StepInfo
    batch: MicroBatch
    generator: Generator
    generated: Tensor  # what it made of the latents, shape (M, *shape)
    fakes: Tensor  # the examples in their places that the discriminator saw, shape (M, *shape)
    real: Tensor | None  # real examples that it saw; None in G's update, unless needed
    critic: DiscriminatorFn
    of_fake: DiscriminatorOutput  # for ``fakes``, one for each pack
    of_real: DiscriminatorOutput | None  # None in the generator's update, unless it is needed
    pack: int  # examples to an output


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of data and latents once they are set up."""

    n: int  # examples in the subset
    m: int  # examples in a logical batch, as configured
    latents: Latents
    pixels: Tensor | None  # the subset, shape (n, *shape), as `MicroBatch` has it
    labels: Tensor | None  # its classes, int64, shape (n,)


class GANView(Protocol):
    """What a remedy may use of the GAN."""

    generator: Generator
    discriminator: Discriminator

    @property
    def global_rank(self) -> int:
        """Which rank this is, from 0."""

    @property
    def world_size(self) -> int:
        """How many ranks share every batch."""

    def add_gradients(self, loss: Tensor) -> None:
        """Adds a loss's gradients, of this rank's share, to those that are there."""

    def average_gradients(self, player: nn.Module) -> None:
        """Averages a network's gradients over the ranks."""

    def keep_largest(self, values: Tensor) -> None:
        """Puts the largest of all ranks' values in each one's place."""

    def discriminate(
        self, critic: DiscriminatorFn, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> DiscriminatorPass:
        """The outputs for real and generated examples, for the discriminator's own loss."""

    def discriminator_loss(self, scores: DiscriminatorPass) -> Tensor:
        """The discriminator's loss of a micro-batch, remedies included; a scalar."""

    def generator_loss(
        self, critic: DiscriminatorFn, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> Tensor:
        """The generator's loss of a micro-batch, remedies included; a scalar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedySpec:
    """What a remedy asks of the training step as a whole; by default nothing."""

    is_noop: bool = False  # its settings change nothing; it is left out
    separate_passes: bool = False  # D sees real and generated examples in separate calls
    needs_full_batch: bool = False  # an example's loss depends on the others of its batch
    needs_real: bool = False  # the generator's loss needs D's output for real examples
    pairs_latents: bool = False  # D's loss needs the latent that each generated example is of
    mixes_latents: bool = False  # an output of D is not of one latent of the batch
    stochastic: bool = False  # it draws from the stream "remedy" in every iteration
    replaces_critic: bool = False  # the generator is trained against another critic than D
    priority: int = 0  # in the generator's loss, remedies of higher priority come first
    pack: int = 1  # examples that D scores together, concatenated along the channels
    images_factor: int = 1  # how many times m examples an update draws
    updates: tuple[int, int] = (1, 1)  # of D and of G in an iteration
    lr_factors: tuple[float, float] = (1.0, 1.0)  # on the learning rates of D and of G

    def __and__(self, other: "RemedySpec") -> "RemedySpec":
        """What both ask for: each flag if one has it, numbers multiplied; no ``priority``."""
        together: dict[str, Any] = {}
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(ours, bool):
                together[field.name] = ours or theirs
            elif isinstance(ours, tuple):
                together[field.name] = (ours[0] * theirs[0], ours[1] * theirs[1])
            else:
                together[field.name] = ours * theirs
        return RemedySpec(**together)


class Remedy(nn.Module):
    """A remedy that changes nothing: every hook defaults to "no change"."""

    def _require(self, valid: bool, name: str, value: Any, range_: str) -> None:
        if not valid:
            kind = type(self).__name__
            raise UserError(f"model.remedies: {name} of {kind} must be {range_}, got {value}")

    # When the GAN is made.

    spec = RemedySpec()  # what it asks of the training step; learning rates only after `setup`

    def check(self, objective: Objective, others: Sequence["Remedy"]) -> None:
        """Refuses an objective, or another remedy, that it cannot go with."""

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

    def train_step(
        self, gan: GANView, batches: Batches, optimizers: Optimizers, *, info: StepInfo
    ) -> dict[str, Tensor] | None:
        """Trains for an iteration in the place of both players' updates: their losses.

        None leaves that to the players' own updates.
        """
        return None

    def fakes_for_discriminator(
        self, fakes: Tensor, gan: GANView, batch: MicroBatch, *, info: StepInfo
    ) -> Tensor:
        """The generated examples that the discriminator is trained on, shape (M, *shape)."""
        return fakes

    def augment(self, examples: Tensor, batch: MicroBatch, *, info: StepInfo, seen: str) -> Tensor:
        """What the discriminator sees of examples (M, *shape) in either player's update.

        ``seen`` tells real from generated ones and the players' updates from each other.
        """
        return examples

    def targets(
        self, real: Tensor, fake: Tensor, scores: DiscriminatorPass
    ) -> tuple[Tensor, Tensor]:
        """The discriminator's targets, shape (logits,) each; 1 and 0 to begin with."""
        return real, fake

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

    def critic_for_generator(
        self, gan: GANView, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> DiscriminatorFn | None:
        """What the generator is trained against in D's place; ``fakes`` have their graph."""
        return None

    def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
        """The generator's loss, a scalar, given that of objective and earlier remedies."""
        return loss

    def after_step(self, gan: GANView, *, info: StepInfo) -> None:
        """Called at the end of an iteration."""


HOOKS = {name for name, hook in vars(Remedy).items() if callable(hook) and name[0] != "_"}
NEUTRAL_HOOKS = {
    *("check", "attach", "setup", "observe", "around_discriminator_step", "after_step")
}  # which leave an example's gradient as it is


def overrides(remedy: Remedy, *hooks: str) -> bool:
    """Whether a remedy has one of these hooks of its own."""
    return any(getattr(type(remedy), hook) is not getattr(Remedy, hook) for hook in hooks)


def changes_gradients(remedy: Remedy) -> bool:
    """Whether it makes a gradient more than a sum of the objective's over single examples."""
    spec = remedy.spec
    summed = spec.needs_full_batch or spec.needs_real or spec.pack * spec.images_factor > 1
    return summed or overrides(remedy, *(HOOKS - NEUTRAL_HOOKS))


def pack_examples(examples: Tensor, pack: int) -> Tensor:
    """Examples (N, C, ...) as packs (N / pack, pack * C, ...); a view where it can be one."""
    if pack == 1:
        return examples
    assert len(examples) % pack == 0, (len(examples), pack)
    channels, *rest = examples.shape[1:]
    return examples.reshape(len(examples) // pack, pack * channels, *rest)


class Remedies(nn.ModuleList):
    """The remedies of a GAN without those that change nothing, in their order."""

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
        steps = [r for r in self if overrides(r, "train_step")]
        critics = [r for r in self if r.spec.replaces_critic]
        pairing = [r for r in self if r.spec.pairs_latents]
        mixing = [r for r in self if r.spec.mixes_latents]
        for clash, several in {
            "both replace the training step": steps,
            "both replace the generator's critic": critics,
            "cannot go together: an output of the discriminator must be of one latent of the "
            "batch": [*pairing, *mixing] if pairing and mixing else [],
        }.items():
            if len(several) > 1:
                both = " and ".join(type(r).__name__ for r in several)
                raise UserError(f"{both} {clash}; take one of them")
        for remedy in self:
            remedy.check(objective, [other for other in self if other is not remedy])
        self.combine()
        self.by_priority = sorted(self, key=lambda remedy: -remedy.spec.priority)  # for G's loss

    def __iter__(self) -> Iterator[Remedy]:
        return (cast(Remedy, module) for module in super().__iter__())

    def combine(self) -> None:
        """Sets ``spec`` to what they ask of the training step together, as they are now."""
        self.spec = RemedySpec()
        for remedy in self:
            self.spec = self.spec & remedy.spec
