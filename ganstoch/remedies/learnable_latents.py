"""Learnable latents: the bank is trained together with the generator.

[1] Bojanowski et al. 2018, "Optimizing the Latent Space of Generative Networks" (GLO): one latent
for each image, trained by the generator's loss. Here that loss is the adversarial one, and a latent
is not tied to an image; the paper's fixed bank is the case of a rate of 0.
"""

import math

import torch
from torch import Tensor, nn

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

_EPSILON = 1e-8  # Adam's


class LearnableLatents(Remedy):
    """Latents follow the generator's loss by one step of Adam an iteration.

    Args:
        rate: their learning rate as a multiple of the generator's, 0 or more; 0 is the plain GAN.
    """

    def __init__(self, *, rate: float = 1.0) -> None:
        super().__init__()
        self._require(0.0 <= rate < math.inf, "rate", rate, "0 or more")
        self.rate = rate
        self.spec = RemedySpec(is_noop=rate == 0.0)
        self._drawn: list[tuple[Tensor, Tensor]] = []  # places in the bank, and the latents there
        self.register_load_state_dict_post_hook(_restore)  # type: ignore[no-untyped-call]

    def setup(self, facts: DataFacts) -> None:
        """Takes the bank; refuses latents that are drawn afresh."""
        if facts.latents.fixed is None:
            raise UserError(
                "LearnableLatents trains a fixed bank, and model.latents.bank is fresh; make it n"
            )
        self._latents = facts.latents
        self.bank = nn.Parameter(facts.latents.fixed.clone(), requires_grad=False)
        for name in ("mean", "square"):  # of the gradients, as Adam keeps them
            self.register_buffer(name, torch.zeros_like(self.bank))
        self.mean: Tensor
        self.square: Tensor

    def train_step(
        self, gan: GANView, batches: Batches, optimizers: Optimizers, *, info: StepInfo
    ) -> dict[str, Tensor] | None:
        """Has the gradients of this iteration's latents kept; leaves the training to others."""
        group = optimizers[1].param_groups[0]
        self._lr, self._betas = self.rate * group["lr"], group["betas"]
        for repeat, batch in enumerate(batches):
            for micro in batch:
                ids = self._latents.draw_ids(info.iteration, micro.size, repeat=repeat)
                self._drawn.append((ids[micro.positions], micro.latents.requires_grad_()))
        return None

    def after_step(self, gan: GANView, *, info: StepInfo) -> None:
        """One step of Adam for the whole bank, of all ranks' gradients."""
        gradient = torch.zeros_like(self.bank)
        for ids, latents in self._drawn:
            if latents.grad is not None:  # D's further batches have none
                gradient.index_add_(0, ids.to(gradient.device), latents.grad.to(gradient.dtype))
        self._drawn.clear()
        self.bank.grad = gradient
        gan.average_gradients(self)
        b1, b2 = self._betas
        self.mean.lerp_(gradient, 1 - b1)
        self.square.lerp_(gradient.square(), 1 - b2)
        step = info.iteration + 1
        scale = (self.square / (1 - b2**step)).sqrt_().add_(_EPSILON)
        self.bank.sub_(self._lr / (1 - b1**step) * self.mean / scale)
        self.bank.grad = None
        self._latents.replace(self.bank)


def _restore(remedy: LearnableLatents, _: object) -> None:
    """Puts the bank of a checkpoint in its place."""
    remedy._latents.replace(remedy.bank)
