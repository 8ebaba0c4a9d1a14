"""The networks; size is an argument, never a file name."""

from ganstoch.models.base import Discriminator, Generator
from ganstoch.models.paper import PaperDiscriminator, PaperGenerator

__all__ = ["Discriminator", "Generator", "PaperDiscriminator", "PaperGenerator"]
