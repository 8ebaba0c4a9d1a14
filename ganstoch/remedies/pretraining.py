"""Supervised pretraining: the generator first learns one image for each latent."""

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.remedies.base import (
    Batches,
    DataFacts,
    GANView,
    Optimizers,
    Remedy,
    RemedySpec,
    StepInfo,
)


class Pretraining(Remedy):
    """In the first iterations the generator minimizes the mean absolute error of G(z_i) to x_i.

    Latent i of the bank, without noise, is paired with image i of the subset. The generator makes
    one update in each, with its own optimizer; the discriminator's loss is reported as 0.

    Args:
        iterations: how many, 0 or more; 0 changes nothing.
    """

    def __init__(self, *, iterations: int = 100) -> None:
        super().__init__()
        self._require(iterations >= 0, "iterations", iterations, "0 or more")
        self.iterations = iterations
        self._bank: Tensor | None = None
        self.spec = RemedySpec(is_noop=iterations == 0)

    def setup(self, facts: DataFacts) -> None:
        """Refuses latents that cannot be paired with the images."""
        count = facts.latents.count
        if count is None or count < facts.n:
            raise UserError(
                f"Pretraining pairs each of {facts.n} images with a latent of its own, and the "
                f"bank has {count or 'fresh ones'}; set model.latents.bank to n"
            )
        self._bank = facts.latents.fixed

    def train_step(
        self, gan: GANView, batches: Batches, optimizers: Optimizers, *, info: StepInfo
    ) -> dict[str, Tensor] | None:
        """One update of G by regression, on the iteration's first batch."""
        if info.iteration >= self.iterations:
            return None
        assert self._bank is not None
        bank = self._bank.to(batches[0][0].ids.device)
        total = torch.zeros((), device=bank.device)
        for batch in batches[0]:
            fakes = gan.generator(bank[batch.ids].to(batch.latents.dtype))
            loss = batch.weight * (fakes - batch.real).abs().mean()
            gan.add_gradients(loss)
            total = total + loss.detach()
        gan.average_gradients(gan.generator)
        optimizers[1].step()
        optimizers[1].zero_grad()
        return {"loss/discriminator": torch.zeros_like(total), "loss/generator": total}
