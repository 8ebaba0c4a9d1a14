"""Batch normalization in the discriminator [1], as DCGAN has it [2].

[1] Ioffe & Szegedy 2015, "Batch Normalization", Alg. 1.
[2] Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs".
"""

from collections.abc import Sequence

from torch import nn

from ganstoch.errors import UserError
from ganstoch.models.layers import BatchNorm, Discriminator, DiscriminatorFactory, GeneratorFactory
from ganstoch.objectives import Objective
from ganstoch.remedies.base import Remedy, RemedySpec
from ganstoch.types import Shape


class DiscriminatorBatchNorm(Remedy):
    """Batch norm after every hidden layer's sums but the first's, before what bends them.

    For maxout units, which are their own bend, after the maximum. A layer that has batch norm keeps
    it. There are no running statistics. Scaling undoes a spectral norm's bound on its layer.

    Args:
        apart: whether the discriminator's update takes statistics of real and of generated examples
            by themselves (true), or of both in one batch (false); null is the plain GAN.
    """

    def __init__(self, *, apart: bool | None = True) -> None:
        super().__init__()
        self.separate = apart
        self.spec = RemedySpec(is_noop=self.separate is None, needs_full_batch=True)

    def check(self, objective: Objective, others: Sequence[Remedy]) -> None:
        """Refuses one batch together beside a remedy that needs two."""
        names = [type(other).__name__ for other in others if other.spec.separate_passes]
        if names and self.separate is False:
            raise UserError(
                f"{names[0]} needs real and generated images judged apart; set apart of "
                "DiscriminatorBatchNorm to true"
            )

    def wrap_networks(
        self, generator: GeneratorFactory, discriminator: DiscriminatorFactory
    ) -> tuple[GeneratorFactory, DiscriminatorFactory]:
        """A discriminator with the further layers."""

        def with_batch_norm(shape: Shape) -> Discriminator:
            network = discriminator(shape)
            if not isinstance(network.body, nn.Sequential):
                raise UserError(
                    "DiscriminatorBatchNorm goes between the layers of a chain, and the body of "
                    f"{type(network).__name__} is none; take another discriminator"
                )
            network.body = normalized(network.body)
            network.separate_passes = self.separate
            return network

        return generator, with_batch_norm


def normalized(body: nn.Sequential) -> nn.Sequential:
    """The layers of a body, batch norm after each that has weights, but not after the first."""
    layers: list[nn.Module] = []
    first = True
    for layer, after in zip(body, [*list(body)[1:], None], strict=True):
        layers.append(layer)
        if isinstance(layer, BatchNorm) or not list(layer.parameters()):
            continue
        if not first and not isinstance(after, BatchNorm):
            channels = getattr(layer, "out_channels", getattr(layer, "out_features", None))
            if channels is None:
                raise UserError(
                    f"DiscriminatorBatchNorm cannot tell the channels of a {type(layer).__name__}; "
                    "take another discriminator"
                )
            layers.append(BatchNorm(channels, tracked=False))
        first = False
    return nn.Sequential(*layers)
