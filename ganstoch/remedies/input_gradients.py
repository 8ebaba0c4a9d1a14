"""Gradients of the discriminator's logits by its inputs, for gradient penalties."""

from __future__ import annotations

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator, Generator, needs_full_batch
from ganstoch.remedies.base import DiscriminatorFn, Remedy
from ganstoch.types import Shape


class GradientPenalty(Remedy):
    """A remedy that needs each logit to depend on its own input alone."""

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Refuses a discriminator that couples the examples of a batch."""
        if needs_full_batch(discriminator):
            raise UserError(
                f"{type(self).__name__} is about the gradient of one image's logit, and a layer of "
                "the discriminator makes that depend on the whole batch; take one without"
            )


def input_gradients(critic: DiscriminatorFn, inputs: Tensor) -> Tensor:
    """The gradient of each logit by its input, an example or a pack; (N, *shape) to (N, numbers).

    No logit depends on another's input, so the gradient of their sum holds them all.
    """
    # Unlike torch.autograd.grad this works inside torch.func's own transformations as well.
    gradient: Tensor = torch.func.grad(lambda x: critic(x).logits.sum())(inputs)
    return gradient.flatten(1)
