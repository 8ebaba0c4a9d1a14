"""Gradients of the discriminator's logits by its inputs, for gradient penalties."""

from __future__ import annotations

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator
from ganstoch.remedies.base import DiscriminatorFn

__all__ = ["input_gradients", "refuse_coupling"]


def input_gradients(critic: DiscriminatorFn, examples: Tensor, *, pack: int) -> Tensor:
    """The gradient of each logit by the examples it is of, flattened; shape (N / pack, numbers).

    No logit depends on another's examples, so the gradient of their sum holds them all.

    Args:
        critic: from examples to logits, one a pack.
        examples: shape (N, *shape).
        pack: neighbours that share a logit.
    """
    # Unlike torch.autograd.grad this works inside torch.func's own transformations as well.
    gradient: Tensor = torch.func.grad(lambda x: critic(x).logits.sum())(examples)
    return gradient.reshape(len(examples) // pack, -1)


def refuse_coupling(penalty: str, discriminator: Discriminator) -> None:
    """Refuses a discriminator whose logits depend on more than their own example or pack.

    Args:
        penalty: who refuses.
        discriminator: the network, with all that remedies have added to it.
    """
    layers = {
        type(x).__name__ for x in discriminator.modules() if getattr(x, "needs_full_batch", False)
    }
    if layers:
        raise UserError(
            f"{penalty} is about the gradient of one image's logit, which is not defined where "
            f"{' and '.join(sorted(layers))} makes it depend on the whole batch; leave out one"
        )
