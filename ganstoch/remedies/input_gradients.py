"""Gradients of the discriminator's logits by its inputs, for gradient penalties."""

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
    """Each logit's gradient by its input, an example or a pack; (N, *shape) to (N, numbers)."""
    # Unlike torch.autograd.grad this works inside torch.func's own transformations as well.
    gradient: Tensor = torch.func.grad(lambda x: critic(x).logits.sum())(inputs)
    return gradient.flatten(1)
