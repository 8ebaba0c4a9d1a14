"""The GAN: two networks, their losses and optimizers, and how an iteration trains them.

[1] Yazici et al. 2020, "Empirical Analysis of Overfitting and Mode Drop in GAN Training", Sec. 3
(updates of phi and theta) and Sec. 4 (loss, optimizer, average).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ganstoch.data.datamodule import ImageData
from ganstoch.data.subset import resolve_batch_size
from ganstoch.errors import UserError
from ganstoch.latents import Latents, LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.layers import (
    DiscriminatorFactory,
    GeneratorFactory,
    frozen,
    initialize,
    needs_full_batch,
)
from ganstoch.objectives import NonSaturating, Objective, Pointwise
from ganstoch.remedies import Remedies, Remedy
from ganstoch.remedies.base import (
    AnyOptimizer,
    Batches,
    DataFacts,
    DiscriminatorFn,
    DiscriminatorPass,
    Optimizers,
    Parts,
    StepInfo,
    pack_examples,
)
from ganstoch.rng import rng_for
from ganstoch.training import distributed
from ganstoch.training.ema import EMA
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, MicroBatch, Shape

# By ``micro_batch: auto``: 2 GiB with the paper's networks. A process that runs out is killed.
CPU_MICRO_BATCH = 1024


@dataclass(frozen=True)
class AdamSettings:
    """Adam's step size and decays of the moments, for both players alike [1, Sec. 4]."""

    lr: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9


class GAN(LightningModule):
    """A generator and a discriminator that train each other, and the generator's average.

    Remedies act on an iteration through the hooks of `Remedy`. ``average`` is what gets measured;
    ``losses`` are scalars of the last iteration, with what remedies measure.

    Args:
        generator: makes the generator from an image shape.
        discriminator: makes the discriminator from an image shape.
        objective: the losses of both players; the non-saturating ones by default.
        remedies: what is done against mode collapse and instability, in this order.
        latents: size of the latent bank and the noise upon it.
        optimizer: Adam's settings.
        ema_decay: weight of the past in the average of the generator.
        init_std: standard deviation of the initial weights.
        micro_batch: most images in memory at once; null for the whole batch. "auto" is the whole
            batch on a GPU, halved by `ganstoch fit` where its memory is full, and 1,024 images on a
            CPU. The result is that of the whole batch, to rounding.
        compile: mode of `torch.compile` for both networks; "reduce-overhead" uses CUDA graphs.
        seed: decides every draw of this run.
        shape: (channels, height, width) of the images, or (coordinates,) of points.
    """

    def __init__(
        self,
        generator: GeneratorFactory = PaperGenerator,
        discriminator: DiscriminatorFactory = PaperDiscriminator,
        objective: Objective | None = None,
        *,
        remedies: Sequence[Remedy] | None = None,
        latents: LatentSettings = LatentSettings(),  # noqa: B008 -- frozen
        optimizer: AdamSettings = AdamSettings(),
        ema_decay: float = 0.9999,
        init_std: float = 0.02,
        micro_batch: int | Literal["auto"] | None = None,
        compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None,
        seed: int = 0,
        shape: Shape = (3, 32, 32),
    ) -> None:
        super().__init__()
        if isinstance(micro_batch, int) and micro_batch < 1:
            raise UserError(f"model.micro_batch must be 1 or more, or auto, got {micro_batch}")
        if not 0.0 < init_std < math.inf:
            raise UserError(f"model.init_std must be above 0, got {init_std}")
        self.automatic_optimization = False
        self.objective = objective or NonSaturating()
        self.remedies = Remedies(remedies or (), objective=self.objective)
        self.settings = optimizer
        self.latent_settings = latents
        self.micro_batch = micro_batch
        self.compile_mode = compile
        self.seed = seed
        self.shape = shape
        for remedy in self.remedies:
            generator, discriminator = remedy.wrap_networks(generator, discriminator)
        self.generator = generator(shape)
        self.discriminator = discriminator(shape)
        own = self.discriminator.separate_passes
        coupled = needs_full_batch(self.discriminator) if own is None else own
        self.separate_passes = coupled or self.remedies.spec.separate_passes
        if isinstance(micro_batch, int) and (by := self.full_batch_for):
            raise UserError(
                f"{by} looks at a whole batch at once and cannot have it in parts; set "
                "model.micro_batch to null"
            )
        initialize(self.generator, std=init_std, rng=rng_for(seed, "init", 0))
        initialize(self.discriminator, std=init_std, rng=rng_for(seed, "init", 1))
        self.average = EMA(self.generator, decay=ema_decay)
        for remedy in self.remedies:
            remedy.attach(self.generator, self.discriminator, shape=shape)
        self.n = self.m = 1
        self.latents: Latents | None = None  # until the data are known
        self.losses: dict[str, Tensor] = {}

    # The algorithm.

    def training_step(self, batch: Batch, batch_index: int = 0) -> None:
        """One iteration on this rank's share of the batch."""
        place = {"rank": self.global_rank, "world": self.world_size}
        batches = [self.micro_batches(batch)]
        for repeat in range(1, sum(self.remedies.spec.updates) - 1):
            further = self.trainer.datamodule.batch(  # type: ignore[attr-defined]
                self.global_step, device=self.device, repeat=repeat, **place
            )
            batches.append(self.micro_batches(further, repeat=repeat))
        # Lightning counts the steps of an optimizer it has wrapped. D's is taken raw, so that
        # `global_step`, hence `max_steps` and every interval, counts iterations.
        step_d = self.trainer.optimizers[0]
        _, step_g = cast(list[AnyOptimizer], self.optimizers())
        self.train_iteration(batches, step_d, step_g, iteration=self.global_step)

    def train_iteration(
        self, batches: Batches, step_d: Optimizer, step_g: AnyOptimizer, *, iteration: int
    ) -> None:
        """Updates of the discriminator, then of the generator, then one step of the average.

        One batch an update, but one for the discriminator's last and the generator's first.
        """
        info = StepInfo(self.seed, iteration)
        for remedy in self.remedies:
            if losses := remedy.train_step(self, batches, (step_d, step_g), info=info):
                break
        else:
            losses = self._alternate(batches, (step_d, step_g), iteration)
        self.losses = losses
        for remedy in self.remedies:
            remedy.after_step(self, info=info)
        self.average.update(self.generator, iteration=iteration)

    def _alternate(
        self, batches: Batches, optimizers: Optimizers, iteration: int
    ) -> dict[str, Tensor]:
        updates_d, updates_g = self.remedies.spec.updates
        shared = updates_d - 1  # this batch serves both players
        whole = len(batches[shared]) == 1
        measures: dict[str, Tensor] = {}
        for update, batch in enumerate(batches[:updates_d]):
            info, keep_graph = StepInfo(self.seed, iteration, update), whole and update == shared
            loss_d, values, fakes = self.discriminator_step(batch, optimizers[0], info, keep_graph)
            for name, value in values.items():
                measures[name] = measures.get(name, 0.0) + value
        for update, batch in enumerate(batches[shared:]):
            info, step = StepInfo(self.seed, iteration, update), optimizers[1]
            if update < updates_g - 1:  # an iteration counts once
                step = getattr(step, "optimizer", step)
            ready = fakes if update == 0 and whole else None
            loss_g = self.generator_step(batch, step, info, ready)
        losses = {"loss/discriminator": loss_d, "loss/generator": loss_g}
        return losses | {name: total / updates_d for name, total in measures.items()}

    def discriminator_step(
        self, batch: Parts, optimizer: Optimizer, info: StepInfo, keep_graph: bool
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """One update: the loss, what remedies measured, the examples of the last micro-batch.

        The generator does not change before its own update, so that where a batch is one
        micro-batch, ``keep_graph`` makes one forward pass of it serve both players.
        """
        total, measures = torch.zeros((), device=self.device), dict[str, Tensor]()
        self.discriminator.power_iterate()
        for micro in batch:
            with torch.set_grad_enabled(keep_graph):
                fakes = self.generator(micro.latents)
            scores = self.discriminate(self.discriminator, micro, fakes.detach(), info=info)
            loss = micro.weight * self.discriminator_loss(scores)
            self.add_gradients(loss)
            total = total + loss.detach()
            for remedy in self.remedies:
                for name, value in remedy.observe(scores).items():
                    measures[name] = measures.get(name, 0.0) + micro.weight * value
            del scores, loss  # their graph would stay in memory beside the next micro-batch's
        self.average_gradients(self.discriminator)
        with ExitStack() as stack:
            for remedy in self.remedies:
                stack.enter_context(remedy.around_discriminator_step(self, optimizer, info=info))
            optimizer.step()
            optimizer.zero_grad()
        return total, measures, fakes

    def generator_step(
        self, batch: Parts, optimizer: AnyOptimizer, info: StepInfo, ready: Tensor | None
    ) -> Tensor:
        """One update of the generator, from the examples that are ``ready`` or from new ones."""
        total = torch.zeros((), device=self.device)
        self.discriminator.power_iterate()
        with frozen(self.discriminator):
            for micro in batch:
                fakes = self.generator(micro.latents) if ready is None else ready
                critic: DiscriminatorFn = self.discriminator
                for remedy in self.remedies:
                    other = remedy.critic_for_generator(self, micro, fakes, info=info)
                    critic = critic if other is None else other
                loss = micro.weight * self.generator_loss(critic, micro, fakes, info=info)
                self.add_gradients(loss)
                total = total + loss.detach()
        self.average_gradients(self.generator)
        optimizer.step()
        optimizer.zero_grad()
        return total

    def discriminate(
        self, critic: DiscriminatorFn, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> DiscriminatorPass:
        """The outputs for real and generated examples, for the discriminator's own loss."""
        generated, pack = fakes, self.remedies.spec.pack
        for remedy in self.remedies:
            fakes = remedy.fakes_for_discriminator(fakes, self, batch, info=info)
        real = self._augmented(batch.real, batch, info, "discriminator/real")
        fakes = self._augmented(fakes, batch, info, "discriminator/fake")
        packs = [pack_examples(examples, pack) for examples in (real, fakes)]
        if self.separate_passes:
            of_real, of_fake = critic(packs[0]), critic(packs[1])
        else:
            of_real, of_fake = critic(torch.cat(packs)).halves()
        return DiscriminatorPass(
            info, batch, self.generator, generated, fakes, real, critic, of_fake, of_real, pack
        )

    def _augmented(self, examples: Tensor, batch: MicroBatch, info: StepInfo, seen: str) -> Tensor:
        for remedy in self.remedies:
            examples = remedy.augment(examples, batch, info=info, seen=seen)
        return examples

    def discriminator_loss(self, scores: DiscriminatorPass) -> Tensor:
        """The objective's loss under the remedies' targets, and what they make of it; a scalar."""
        assert scores.of_real is not None
        real, fake = scores.of_real.logits, scores.of_fake.logits
        if self.remedies.changes_targets:
            assert isinstance(self.objective, Pointwise)
            ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
            for remedy in self.remedies:
                ones, zeros = remedy.targets(ones, zeros, scores)
            loss = self.objective.soft(real, fake, real_targets=ones, fake_targets=zeros)
        else:
            loss = self.objective.discriminator(real, fake)
        for remedy in self.remedies:
            loss = remedy.discriminator_loss(loss, scores)
        return loss

    def generator_loss(
        self, critic: DiscriminatorFn, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> Tensor:
        """The generator's loss of a micro-batch, a scalar; arguments as of `discriminate`."""
        pack, generated, real, of_real = self.remedies.spec.pack, fakes, None, None
        fakes = self._augmented(fakes, batch, info, "generator/fake")
        of_fake = critic(pack_examples(fakes, pack))
        if self.needs_real:
            real = self._augmented(batch.real, batch, info, "generator/real")
            of_real = critic(pack_examples(real, pack))
        scores = DiscriminatorPass(
            info, batch, self.generator, generated, fakes, real, critic, of_fake, of_real, pack
        )
        loss = self.objective.generator(of_fake.logits, None if of_real is None else of_real.logits)
        for remedy in self.remedies.by_priority:
            loss = remedy.generator_loss(loss, scores)
        return loss

    def add_gradients(self, loss: Tensor) -> None:
        """Adds a loss's gradients, of this rank's share, to those that are there."""
        backward = torch.autograd.backward if self._trainer is None else self.manual_backward
        backward(loss)

    def average_gradients(self, player: nn.Module) -> None:
        """Averages a network's gradients over the ranks, so that they are those of the batch."""
        if self.world_size > 1:
            distributed.average_gradients(player, world=self.world_size)

    def keep_largest(self, values: Tensor) -> None:
        """Puts the largest of all ranks' values in each one's place."""
        if self.world_size > 1:
            distributed.keep_largest(values)

    # What it needs of data and latents.

    @property
    def world_size(self) -> int:
        """Ranks that share every batch; `global_rank` says which of them this is."""
        return 1 if self._trainer is None else self._trainer.world_size

    @property
    def needs_real(self) -> bool:
        """Whether the generator's loss needs the discriminator's output for real examples."""
        return self.objective.needs_real or self.remedies.spec.needs_real

    @property
    def full_batch_for(self) -> str | None:
        """The class that needs a batch in one part, if there is one."""
        parts: list[object] = [self.objective] if self.objective.needs_full_batch else []
        parts += [remedy for remedy in self.remedies if remedy.spec.needs_full_batch]
        parts += [net for net in (self.generator, self.discriminator) if needs_full_batch(net)]
        return type(parts[0]).__name__ if parts else None

    @property
    def images_per_iteration(self) -> int:
        """Real examples that an iteration's updates look at."""
        spec = self.remedies.spec
        batches = spec.updates[0] + (spec.updates[1] - 1 if self.needs_real else 0)
        return self.m * spec.images_factor * batches

    def micro_batches(self, batch: Batch, *, repeat: int = 0) -> list[MicroBatch]:
        """This rank's examples and latents of one update, in parts that fit in memory."""
        assert self.latents is not None
        assert self.micro_batch != "auto"
        place = {"rank": self.global_rank, "world": self.world_size}
        group, step = self.remedies.spec.pack, self.global_step
        z = self.latents.draw(
            step, batch.size, device=self.device, group=group, repeat=repeat, **place
        )
        dtype = next(self.generator.parameters()).dtype
        return split(batch, z, micro_batch=self.micro_batch, dtype=dtype, group=group, **place)

    def setup_latents(
        self, *, n: int, m: int = 1, pixels: Tensor | None = None, labels: Tensor | None = None
    ) -> None:
        """Draws the latent bank for ``n`` images, m a batch; arguments as of `DataFacts`."""
        self.n, self.m = n, m
        dim = self.generator.latent_dim
        self.latents = Latents(self.latent_settings, dim=dim, n=n, seed=self.seed)
        self.latents.check(m * self.remedies.spec.images_factor)
        for remedy in self.remedies:
            remedy.setup(DataFacts(n, m, self.latents, pixels, labels))
        self.remedies.combine()

    def setup_data(self, data: ImageData) -> None:
        """Draws the latent bank for data that are set up, and tells them how much a batch holds."""
        subset, spec = data.subset, self.remedies.spec
        data.images_factor, data.pack = spec.images_factor, spec.pack
        n, m = len(subset.ids), data.batch_size
        self.setup_latents(n=n, m=m, pixels=subset.pixels, labels=subset.labels)

    @torch.no_grad()
    def sample(self, latents: Tensor, *, batch_size: int = 256) -> Tensor:
        """The averaged generator's images of latents (N, latent_dim), in [-1, 1], on the CPU."""
        dtype = next(self.average.parameters()).dtype
        parts = torch.split(latents, batch_size)
        return torch.cat([self.average(z.to(self.device, dtype)).cpu() for z in parts])

    # What Lightning calls.

    def configure_optimizers(self) -> list[Optimizer]:
        """One Adam a player, the discriminator's first."""
        s = self.settings
        if not 0.0 < s.lr < math.inf:
            raise UserError(f"model.optimizer.lr must be above 0, got {s.lr}")
        for name, beta in (("beta1", s.beta1), ("beta2", s.beta2)):
            if not 0.0 <= beta < 1.0:
                raise UserError(f"model.optimizer.{name} must be in [0, 1), got {beta}")
        fused = next(self.parameters()).device.type != "meta"  # has sizes and no kernels
        factor_d, factor_g = self.remedies.spec.lr_factors
        return [
            Adam(player.parameters(), lr=s.lr * factor, betas=(s.beta1, s.beta2), fused=fused)
            for player, factor in ((self.discriminator, factor_d), (self.generator, factor_g))
        ]

    def setup(self, stage: str) -> None:
        """Draws the latent bank, whose size is known once the data are."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.check_ranks(data, world=self.world_size)
        self.setup_data(data)

    def check_ranks(self, data: ImageData, *, world: int) -> None:
        """Refuses a batch that cannot be shared among so many ranks; nothing is set up yet."""
        if world == 1:
            return
        if by := self.full_batch_for:
            raise UserError(
                f"{by} looks at a whole batch at once, and each of {world} devices would see its "
                "share only; set trainer.devices=1 and trainer.num_nodes=1"
            )
        m, spec = resolve_batch_size(data.m, n=data.n), self.remedies.spec
        if -(-m * spec.images_factor // spec.pack) < world:
            raise UserError(
                f"data.m is {m}, too few for {world} devices; raise it, or lower trainer.devices"
            )

    def on_fit_start(self) -> None:
        """Resolves an automatic micro-batch, now that the device is known, and compiles."""
        if self.micro_batch == "auto":
            on_cpu = self.device.type == "cpu" and not self.full_batch_for
            self.micro_batch = CPU_MICRO_BATCH if on_cpu else None
        if self.compile_mode is not None:
            for network in (self.generator, self.discriminator):
                network.compile(mode=self.compile_mode)

    def on_train_start(self) -> None:
        """Refuses ranks that start, or go on, from different points, naming the difference."""
        if self.world_size == 1:
            return
        assert self.latents is not None
        bank = [] if self.latents.fixed is None else [self.latents.fixed]
        point = {
            "iteration": str(self.global_step),
            "remedies": digest(self.remedies.state_dict().values()),
            "latents": digest(bank),
            "images": self.trainer.datamodule.subset.sha256,  # type: ignore[attr-defined]
            "settings": f"seed {self.seed}, m {self.m}, {self.trainer.max_steps} iterations",
            "torch": torch.__version__,
        }
        distributed.refuse_differences(self.digests() | point, world=self.world_size)

    def digests(self) -> dict[str, str]:
        """A digest of each network and of the optimizers' moments together, by name."""
        states = [optimizer.state_dict()["state"] for optimizer in self.trainer.optimizers]
        moments = (sorted(each.items()) for state in states for each in state.values())
        digests = {
            name: digest(self.get_submodule(name).state_dict().values())
            for name in ("generator", "discriminator", "average")
        }
        of_moments = digest(value for pairs in moments for _, value in pairs)
        return digests | {"optimizers": of_moments}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the micro-batch, so that a resumed run goes on with the same order of sums."""
        checkpoint["arithmetic"] = {"micro_batch": self.micro_batch}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of other networks, naming the first parameter that differs."""
        ours, saved = self.state_dict(), checkpoint["state_dict"]
        for name in [*ours, *saved]:
            here, there = (tuple(s[name].shape) if name in s else "none" for s in (ours, saved))
            if here != there:
                raise UserError(
                    f"the checkpoint is of other networks: {name} has shape {there} in it, {here} "
                    "in this run; give the settings it was made with, or another checkpoint"
                )
        # Lightning converts to the run's precision afterwards: 64 bits would pass through 32.
        self.to(next(v.dtype for v in saved.values() if v.is_floating_point()))
        if self.micro_batch == "auto":
            self.micro_batch = checkpoint.get("arithmetic", {}).get("micro_batch", "auto")


def digest(tensors: Iterable[Tensor]) -> str:
    """16 hexadecimal digits of the bytes of tensors, in their order, wherever they lie."""
    sha256 = hashlib.sha256()
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        sha256.update(flat.view(torch.uint8).numpy().data)
    return sha256.hexdigest()[:16]
