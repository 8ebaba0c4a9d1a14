"""Gradients of the discriminator's logits by its inputs, for gradient penalties."""

from __future__ import annotations

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator
from ganstoch.remedies.base import DiscriminatorFn


def input_gradients(critic: DiscriminatorFn, inputs: Tensor) -> Tensor:
    """The gradient of each logit by its input, an example or a pack; (N, *shape) to (N, numbers).

    No logit depends on another's input, so the gradient of their sum holds them all.
    """
    # Unlike torch.autograd.grad this works inside torch.func's own transformations as well.
    gradient: Tensor = torch.func.grad(lambda x: critic(x).logits.sum())(inputs)
    return gradient.flatten(1)


def refuse_coupling(penalty: str, discriminator: Discriminator) -> None:
    """Refuses a discriminator whose logits depend on more than their own example or pack."""
    layers = {
        type(x).__name__ for x in discriminator.modules() if getattr(x, "needs_full_batch", False)
    }
    if layers:
        raise UserError(
            f"{penalty} is about the gradient of one image's logit, which is not defined where "
            f"{' and '.join(sorted(layers))} makes it depend on the whole batch; leave out one"
        )
