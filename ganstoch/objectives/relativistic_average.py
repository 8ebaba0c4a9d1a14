"""The relativistic average losses (RaSGAN, RaHingeGAN, RaLSGAN)."""

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor, relu
from torch.nn.functional import softplus

from ganstoch.errors import UserError
from ganstoch.objectives.base import Objective

PENALTIES: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": lambda lead: softplus(-lead),
    "hinge": lambda lead: relu(1 - lead),
    "least_squares": lambda lead: (lead - 1).square(),
}  # what a lead costs, per variant: RaSGAN, RaHingeGAN, RaLSGAN


class RelativisticAverage(Objective):
    """D minimizes p(D(x) - mean D(G(z))) + p(mean D(x) - D(G(z))), G the same, roles exchanged.

    p(t) is -log s(t), s the logistic function; or max(0, 1 - t); or (t - 1)^2. Gradients flow
    through the batch's averages in both players, as in the author's program.
    Jolicoeur-Martineau 2018, "The relativistic discriminator", Sec. 4.

    Args:
        variant: what a lead costs; "least_squares" aims at leads of 1, without a factor 1/2.
    """

    needs_full_batch: ClassVar[bool] = True
    needs_real: ClassVar[bool] = True

    def __init__(self, variant: Literal["logistic", "hinge", "least_squares"] = "logistic") -> None:
        if variant not in PENALTIES:
            raise UserError(f"variant must be one of {', '.join(PENALTIES)}, got {variant!r}")
        self.variant = variant

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar loss from logits of shape (N,) and (M,)."""
        penalty = PENALTIES[self.variant]
        return penalty(real - fake.mean()).mean() + penalty(real.mean() - fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar loss from logits of shape (M,) and (N,)."""
        assert real is not None
        return self.discriminator(fake, real)
