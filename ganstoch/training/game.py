"""The game: one discriminator update, then one generator update, per iteration.

[1] Yazici et al. 2020, Sec. 3 (updates of phi and theta) and Sec. 4 (loss, optimiser, average).
`Game.play` is the whole algorithm; everything around it is plumbing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ganstoch import randomness
from ganstoch.errors import UserError
from ganstoch.latents import Latents, LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.base import DiscriminatorFactory, GeneratorFactory, initialise
from ganstoch.models.tuning import FormSettings
from ganstoch.objectives import NonSaturating, Objective
from ganstoch.training.arithmetic import settle
from ganstoch.training.averaging import Average
from ganstoch.training.exact_batch import Part, split
from ganstoch.types import Batch, ImageShape

__all__ = ["AdamSettings", "Game"]


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


class Game(LightningModule):
    """Two players, their optimisers, the latents and the averaged generator.

    Args:
        generator: makes the generator from an image shape.
        discriminator: makes the discriminator from an image shape.
        objective: the losses of both players; the non-saturating ones by default.
        latents: size of the latent bank and the noise upon it.
        optimizer: Adam's settings.
        ema_decay: weight of the past in the average of the generator.
        init_std: standard deviation of the initial weights.
        micro_batch: most images in memory at once, or "auto" for as many as there is room for;
            null for the whole batch. The result is that of the whole batch.
        forms: how convolutions are computed: "rule", "timed" for what a stopwatch prefers at
            start-up, or the forms of each layer, as a record has them.
        compile: mode of `torch.compile` for both networks; "reduce-overhead" uses CUDA graphs.
        seed: decides every draw of this run.
        shape: (channels, height, width) of the images.

    Raises:
        UserError: for a setting out of its range.
    """

    def __init__(
        self,
        generator: GeneratorFactory = PaperGenerator,
        discriminator: DiscriminatorFactory = PaperDiscriminator,
        objective: Objective | None = None,
        *,
        latents: LatentSettings = LatentSettings(),  # noqa: B008 -- frozen
        optimizer: AdamSettings = AdamSettings(),
        ema_decay: float = 0.9999,
        init_std: float = 0.02,
        micro_batch: int | Literal["auto"] | None = None,
        forms: FormSettings = "rule",
        compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None,
        seed: int = 0,
        shape: ImageShape = (3, 32, 32),
    ) -> None:
        super().__init__()
        if isinstance(micro_batch, int) and micro_batch < 1:
            raise UserError(f"model.micro_batch must be 1 or more, or auto, got {micro_batch}")
        if not 0.0 < init_std < math.inf:
            raise UserError(f"model.init_std must be above 0, got {init_std}")
        self.automatic_optimization = False
        self.objective = objective or NonSaturating()
        self.settings = optimizer
        self.latent_settings = latents
        self.micro_batch = micro_batch
        self.forms = forms
        self.compile_mode = compile
        self.seed = seed
        self.shape = shape
        self.generator = generator(shape)
        self.discriminator = discriminator(shape)
        initialise(self.generator, std=init_std, rng=randomness.generator(seed, "init", 0))
        initialise(self.discriminator, std=init_std, rng=randomness.generator(seed, "init", 1))
        self.average = Average(self.generator, decay=ema_decay)
        self.latents: Latents | None = None
        self.losses: dict[str, Tensor] = {}

    def setup(self, stage: str) -> None:
        """Draws the latent bank, whose size is known once the data are."""
        subset = self.trainer.datamodule.subset  # type: ignore[attr-defined]
        self.deal(n=len(subset.ids))

    def deal(self, *, n: int) -> None:
        """Draws the latent bank for a subset of ``n`` images."""
        dim = self.generator.latent_dim
        self.latents = Latents(self.latent_settings, dim=dim, n=n, seed=self.seed)

    def on_fit_start(self) -> None:
        """Settles how the arithmetic is done, now that batch, device and precision are known."""
        m = self.trainer.datamodule.batch_size  # type: ignore[attr-defined]
        with self.trainer.precision_plugin.forward_context():
            settle(self, m=-(-m // self.trainer.world_size))

    def configure_optimizers(self) -> list[Optimizer]:
        """One Adam a player, the discriminator's first."""
        s = self.settings
        if not 0.0 < s.lr < math.inf:
            raise UserError(f"model.optimizer.lr must be above 0, got {s.lr}")
        for name, beta in (("beta1", s.beta1), ("beta2", s.beta2)):
            if not 0.0 <= beta < 1.0:
                raise UserError(f"model.optimizer.{name} must be in [0, 1), got {beta}")
        fused = next(self.parameters()).device.type != "meta"  # has sizes and no kernels
        return [
            Adam(player.parameters(), lr=s.lr, betas=(s.beta1, s.beta2), fused=fused)
            for player in (self.discriminator, self.generator)
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps how the arithmetic is done, so that a resumed run goes on with the same sums."""
        checkpoint["arithmetic"] = {"micro_batch": self.micro_batch, "forms": self.forms}

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
        chosen = checkpoint.get("arithmetic", {})
        if self.micro_batch == "auto":
            self.micro_batch = chosen.get("micro_batch", "auto")
        if self.forms == "timed":
            self.forms = chosen.get("forms", "timed")

    def training_step(self, batch: Batch, batch_index: int = 0) -> None:
        """One iteration on this rank's share of the batch."""
        assert self.latents is not None
        iteration, world = self.global_step, self.trainer.world_size
        z = self.latents.draw(
            iteration, batch.size, device=self.device, rank=self.global_rank, world=world
        )
        dtype = next(self.generator.parameters()).dtype
        assert self.micro_batch != "auto"
        micro_batches = split(batch, z, micro_batch=self.micro_batch, dtype=dtype, world=world)
        # Lightning counts every step of an optimiser it has wrapped. D's is taken raw, so that
        # `global_step`, hence `max_steps` and every interval, counts iterations.
        raw, counted = self.optimizers(use_pl_optimizer=False), self.optimizers()
        assert isinstance(raw, list)
        assert isinstance(counted, list)
        self.play(
            micro_batches, raw[0], counted[1], iteration=iteration, backward=self.manual_backward
        )

    def play(
        self,
        micro_batches: Sequence[Part],
        step_d: Optimizer,
        step_g: Optimizer | LightningOptimizer,
        *,
        iteration: int,
        backward: Callable[[Tensor], None] = Tensor.backward,
    ) -> None:
        """One discriminator update, one generator update, one step of the average.

        G does not change before its own update, so where the batch is one part, one forward pass
        serves both players; otherwise each part's images are made twice, to hold only one part's.

        Args:
            micro_batches: the batch, in parts that fit in memory.
            step_d: optimiser of the discriminator.
            step_g: optimiser of the generator.
            iteration: number of this iteration, from 0.
            backward: how a loss is propagated back; Lightning's way under its trainer.
        """
        generator, discriminator, objective = self.generator, self.discriminator, self.objective
        at_once = len(micro_batches) == 1
        loss_d = loss_g = torch.zeros((), device=self.device)

        discriminator.power_iterate()
        for part in micro_batches:
            with torch.set_grad_enabled(at_once):
                fake = generator(part.latents)
            logits = discriminator(torch.cat([part.real, fake.detach()])).logits
            loss = part.weight * objective.discriminator(*logits.chunk(2))
            backward(loss)
            loss_d = loss_d + loss.detach()
        step_d.step()
        step_d.zero_grad()

        discriminator.power_iterate()
        with frozen(discriminator):
            for part in micro_batches:
                if not at_once:
                    fake = generator(part.latents)
                loss = part.weight * objective.generator(discriminator(fake).logits)
                backward(loss)
                loss_g = loss_g + loss.detach()
        step_g.step()
        step_g.zero_grad()

        self.average.follow(generator, iteration=iteration)
        self.losses = {"loss/discriminator": loss_d, "loss/generator": loss_g}

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


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Spares the gradients of a module's parameters, which its opponent's update has no use for."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
