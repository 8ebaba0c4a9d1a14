"""Gradients of the discriminator's logits by its inputs, for gradient penalties."""

import math

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator, Generator, needs_full_batch
from ganstoch.remedies.base import DiscriminatorFn, Remedy, RemedySpec, pack_examples
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


class ZeroCenteredPenalty(GradientPenalty):
    """A penalty on the squared gradient of the logits at some examples; of packs, at the packs.

    Args:
        gamma: twice the weight, 0 or more; 10 in the paper of R1, 0 is the plain GAN.
    """

    def __init__(self, *, gamma: float = 10.0) -> None:
        super().__init__()
        self._require(0.0 <= gamma < math.inf, "gamma", gamma, "0 or more")
        self.gamma = gamma
        self.spec = RemedySpec(is_noop=self.gamma == 0.0)

    def penalty(self, critic: DiscriminatorFn, examples: Tensor, *, pack: int) -> Tensor:
        """Half of gamma E || grad D ||^2 at examples (M, *shape), a scalar."""
        gradients = input_gradients(critic, pack_examples(examples, pack))
        return self.gamma / 2.0 * gradients.square().sum(1).mean()


def input_gradients(critic: DiscriminatorFn, inputs: Tensor) -> Tensor:
    """Each logit's gradient by its input, an example or a pack; (N, *shape) to (N, numbers)."""
    # Unlike torch.autograd.grad this works inside torch.func's own transformations as well.
    gradient: Tensor = torch.func.grad(lambda x: critic(x).logits.sum())(inputs)
    return gradient.flatten(1)
