"""Generators and discriminators of any size."""

from ganstoch.models.dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    UnrolledDiscriminator,
    UnrolledGenerator,
)
from ganstoch.models.layers import Discriminator, Generator
from ganstoch.models.mlp import MaxoutDiscriminator, ReLUGenerator, TanhDiscriminator, TanhGenerator
from ganstoch.models.paper import PaperDiscriminator, PaperGenerator

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "Discriminator", "Generator"]
__all__ += ["MaxoutDiscriminator", "PaperDiscriminator", "PaperGenerator", "ReLUGenerator"]
__all__ += ["TanhDiscriminator", "TanhGenerator", "UnrolledDiscriminator", "UnrolledGenerator"]
