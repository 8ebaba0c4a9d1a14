"""Supervised pretraining: the generator first learns one image for each latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer

from ganstoch.errors import UserError
from ganstoch.remedies.base import DataFacts, GANView, Remedy, RemedySpec, StepInfo
from ganstoch.types import MicroBatch

__all__ = ["Pretraining"]


class Pretraining(Remedy):
    """In the first iterations the generator minimizes the mean absolute error of G(z_i) to x_i.

    Latent i of the bank, without noise, is paired with image i of the subset; the batch's images
    decide which pairs an iteration sees. The discriminator stays as it is. These iterations count
    as the run's own: the generator makes one update in each, with its own optimizer, whose moments
    training goes on with; the discriminator's loss is reported as 0.

    Args:
        iterations: how many, 0 or more; 0 changes nothing.
    """

    def __init__(self, *, iterations: int = 100) -> None:
        super().__init__()
        self._require(iterations >= 0, "iterations", iterations, "0 or more")
        self.iterations = iterations

    @property
    def spec(self) -> RemedySpec:
        """One update of the generator an iteration."""
        return RemedySpec(is_noop=self.iterations == 0)

    def setup(self, facts: DataFacts) -> None:
        """Refuses latents that cannot be paired with the images."""
        if facts.latents.count is None:
            raise UserError(
                "Pretraining pairs each image with a latent of its own, and fresh latents are "
                "never seen again; set model.latents.bank to n"
            )
        if facts.latents.count < facts.n:
            raise UserError(
                f"Pretraining pairs each of {facts.n} images with a latent of its own, and the "
                f"bank has {facts.latents.count}; set model.latents.bank to n"
            )

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
        """One update of G by regression, on the iteration's first batch."""
        if info.iteration >= self.iterations:
            return None
        assert gan.latents is not None
        assert gan.latents.fixed is not None
        bank = gan.latents.fixed.to(batches[0][0].ids.device)
        total = torch.zeros((), device=bank.device)
        for batch in batches[0]:
            fakes = gan.generator(bank[batch.ids].to(batch.latents.dtype))
            loss = batch.weight * (fakes - batch.real).abs().mean()
            backward(loss)
            total = total + loss.detach()
        gan.average_gradients(gan.generator)
        step_g.step()
        step_g.zero_grad()
        return {"loss/discriminator": torch.zeros_like(total), "loss/generator": total}
