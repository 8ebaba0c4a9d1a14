"""The game: one discriminator update, then one generator update, per iteration.

[1] Yazici et al. 2020, Sec. 3 (updates of phi and theta) and Sec. 4 (loss, optimiser, average).
What an iteration consists of stands in `ganstoch.training.match`; here is the plumbing around it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.latents import Latents, LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.base import DiscriminatorFactory, GeneratorFactory, couples, initialise
from ganstoch.objectives import NonSaturating, Objective
from ganstoch.remedies import Remedies, Remedy
from ganstoch.remedies.base import DataFacts
from ganstoch.rng import rng_for
from ganstoch.training.distributed import refuse_differences, refuse_ranks, settle_alike
from ganstoch.training.ema import EMA
from ganstoch.training.match import Match
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, MicroBatch, Shape

__all__ = ["GAN", "AdamSettings"]


@dataclass(frozen=True)
class AdamSettings:
    """Adam, for both players alike [1, Sec. 4].

    Attributes:
        lr: step size.
        beta1: decay of the first moment; 0 in the paper, so no momentum.
        beta2: decay of the second moment.
    """

    lr: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9


class GAN(Match):
    """Two players, their optimisers, the latents and the averaged generator.

    Args:
        generator: makes the generator from an image shape.
        discriminator: makes the discriminator from an image shape.
        objective: the losses of both players; the non-saturating ones by default.
        remedies: what is done against mode collapse and instability, in this order.
        latents: size of the latent bank and the noise upon it.
        optimizer: Adam's settings.
        ema_decay: weight of the past in the average of the generator.
        init_std: standard deviation of the initial weights.
        micro_batch: most images in memory at once, or "auto" for as many as there is room for;
            null for the whole batch. The result is that of the whole batch.
        compile: mode of `torch.compile` for both networks; "reduce-overhead" uses CUDA graphs.
        seed: decides every draw of this run.
        shape: (channels, height, width) of the images, or (coordinates,) of points.

    Raises:
        UserError: for a setting out of its range, or remedies that cannot go together.
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
        generator, discriminator = self.remedies.wrap(generator, discriminator)
        self.generator = generator(shape)
        self.discriminator = discriminator(shape)
        self.apart = self.discriminator.apart or (
            self.discriminator.apart is None and couples(self.discriminator)
        )
        if isinstance(micro_batch, int) and (by := self.coupled_by):
            raise UserError(
                f"{by} looks at a whole batch at once and cannot have it in parts; set "
                "model.micro_batch to null"
            )
        initialise(self.generator, std=init_std, rng=rng_for(seed, "init", 0))
        initialise(self.discriminator, std=init_std, rng=rng_for(seed, "init", 1))
        self.average = EMA(self.generator, decay=ema_decay)
        self.remedies.attach(self.generator, self.discriminator, shape=shape)
        self.n = self.m = 1
        self.latents: Latents | None = None
        self.losses: dict[str, Tensor] = {}

    @property
    def coupled_by(self) -> str | None:
        """Who needs a batch in one part, if anybody does."""
        networks = (self.generator, self.discriminator)
        named = [type(network).__name__ for network in networks if couples(network)]
        return self.remedies.couples or next(iter(named), None)

    @property
    def images_per_iteration(self) -> int:
        """Real examples that are looked at in an iteration.

        Further updates of G look at real ones only where its loss needs them. The passes over all
        images with which some remedies renew what they know are not counted.
        """
        of_d, of_g = self.remedies.updates
        batches = of_d + (of_g - 1 if self.remedies.needs_real else 0)
        return self.m * self.remedies.images_factor * batches

    def setup(self, stage: str) -> None:
        """Draws the latent bank, whose size is known once the data are."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        refuse_ranks(self, data, world=self.world_size)
        self.deal_from(data)

    def deal_from(self, data: ImageData) -> None:
        """Draws the latent bank for data that are set up, and tells them how much a batch holds."""
        data.images_factor, data.pack = self.remedies.images_factor, self.remedies.pack
        classes = None if data.subset.labels is None else int(data.subset.labels.max()) + 1
        self.deal(
            n=len(data.subset.ids),
            m=data.batch_size,
            classes=classes,
            pixels=data.subset.pixels,
            labels=data.subset.labels,
        )

    def deal(
        self,
        *,
        n: int,
        m: int = 1,
        classes: int | None = None,
        pixels: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> None:
        """Draws the latent bank for a subset of ``n`` images, of which m come in a batch.

        Raises:
            UserError: if a remedy cannot go with such data.
        """
        self.n, self.m = n, m
        dim = self.generator.latent_dim
        self.latents = Latents(self.latent_settings, dim=dim, n=n, seed=self.seed)
        self.remedies.check_data(
            DataFacts(n=n, m=m, classes=classes, latents=self.latents, pixels=pixels, labels=labels)
        )

    def on_fit_start(self) -> None:
        """Settles how the arithmetic is done, now that batch, device and precision are known."""
        with self.trainer.precision_plugin.forward_context():
            settle_alike(self, m=self.m * self.remedies.images_factor)

    def on_train_start(self) -> None:
        """Makes sure that all ranks go on from the same point, which nothing later would bring."""
        refuse_differences(self)

    def configure_optimizers(self) -> list[Optimizer]:
        """One Adam a player, the discriminator's first."""
        s = self.settings
        if not 0.0 < s.lr < math.inf:
            raise UserError(f"model.optimizer.lr must be above 0, got {s.lr}")
        for name, beta in (("beta1", s.beta1), ("beta2", s.beta2)):
            if not 0.0 <= beta < 1.0:
                raise UserError(f"model.optimizer.{name} must be in [0, 1), got {beta}")
        rates = self.remedies.learning_rates(s.lr, m=self.m, n=self.n)
        fused = next(self.parameters()).device.type != "meta"  # has sizes and no kernels
        return [
            Adam(player.parameters(), lr=lr, betas=(s.beta1, s.beta2), fused=fused)
            for player, lr in zip((self.discriminator, self.generator), rates, strict=True)
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps how the arithmetic is done, so that a resumed run goes on with the same sums."""
        checkpoint["arithmetic"] = {"micro_batch": self.micro_batch}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of other networks in one line, where torch takes one a parameter.

        What was left to the machine to choose stays as it was chosen before.

        Raises:
            UserError: naming the first parameter that is missing or of another shape.
        """
        ours, saved = self.state_dict(), checkpoint["state_dict"]
        for name in [*ours, *saved]:
            here, there = (tuple(s[name].shape) if name in s else "none" for s in (ours, saved))
            if here != there:
                raise UserError(
                    f"the checkpoint is of other networks: {name} has shape {there} in it, {here} "
                    "in this run; give the settings it was made with, or another checkpoint"
                )
        # Lightning converts the networks to the run's precision after it has loaded them: numbers
        # of 64 bits would pass through 32.
        self.to(next(v.dtype for v in saved.values() if v.is_floating_point()))
        chosen = checkpoint.get("arithmetic", {})
        if self.micro_batch == "auto":
            self.micro_batch = chosen.get("micro_batch", "auto")

    def training_step(self, batch: Batch, batch_index: int = 0) -> None:
        """One iteration on this rank's share of the batch."""
        draws = [self._parts(batch)]
        for repeat in range(1, sum(self.remedies.updates) - 1):
            more = self.trainer.datamodule.batch(  # type: ignore[attr-defined]
                self.global_step,
                device=self.device,
                rank=self.global_rank,
                world=self.world_size,
                repeat=repeat,
            )
            draws.append(self._parts(more, repeat=repeat))
        # Lightning counts every step of an optimiser it has wrapped. D's is taken raw, so that
        # `global_step`, hence `max_steps` and every interval, counts iterations.
        raw, counted = self.optimizers(use_pl_optimizer=False), self.optimizers()
        assert isinstance(raw, list)
        assert isinstance(counted, list)
        self.play(
            draws, raw[0], counted[1], iteration=self.global_step, backward=self.manual_backward
        )

    def _parts(self, batch: Batch, *, repeat: int = 0) -> list[MicroBatch]:
        """This rank's examples and latents of one update, in parts that fit in memory."""
        assert self.latents is not None
        assert self.micro_batch != "auto"
        rank, world, group = self.global_rank, self.world_size, self.remedies.pack
        z = self.latents.draw(
            self.global_step,
            batch.size,
            device=self.device,
            rank=rank,
            world=world,
            group=group,
            repeat=repeat,
        )
        return split(
            batch,
            z,
            micro_batch=self.micro_batch,
            dtype=next(self.generator.parameters()).dtype,
            rank=rank,
            world=world,
            group=group,
        )

    @torch.no_grad()
    def sample(self, latents: Tensor, *, batch_size: int = 256) -> Tensor:
        """Images of the averaged generator, in parts; floats in [-1, 1] on the CPU.

        Args:
            latents: shape (N, latent_dim), any device.
            batch_size: most images at once.
        """
        dtype = next(self.average.parameters()).dtype
        made = [
            self.average(z.to(self.device, dtype)).cpu() for z in torch.split(latents, batch_size)
        ]
        return torch.cat(made)
