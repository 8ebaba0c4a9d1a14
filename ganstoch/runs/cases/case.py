"""A labelled run: a short game, most of them broken on purpose, with the cause that is known.

A label says what the cause must lead to; it was given by construction, not by looking at signals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pytorch_lightning import Callback

from ganstoch.data import Digits, Source
from ganstoch.diagnosis import Verdict
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.base import DiscriminatorFactory, GeneratorFactory
from ganstoch.models.dcgan import DCGANDiscriminator, DCGANGenerator
from ganstoch.models.mlp import MaxoutDiscriminator, ReLUGenerator
from ganstoch.objectives import NonSaturating, Objective
from ganstoch.remedies import Remedy

__all__ = ["CONV", "DCGAN", "DENSE", "POINTS", "Case", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """Two networks that suit each other.

    Attributes:
        generator: makes G.
        discriminator: makes D.
        lr: at which the plain game is known to go well.
        beta1: idem.
    """

    generator: GeneratorFactory
    discriminator: DiscriminatorFactory
    lr: float
    beta1: float = 0.0


CONV = Family(
    partial(PaperGenerator, width=32, latent_dim=32), partial(PaperDiscriminator, width=32), 1e-3
)
DENSE = Family(
    partial(ReLUGenerator, width=256, depth=3, latent_dim=32),
    partial(MaxoutDiscriminator, width=64),
    3e-4,
    0.5,
)
DCGAN = Family(
    partial(DCGANGenerator, width=8, latent_dim=32), partial(DCGANDiscriminator, width=8), 1e-3, 0.5
)
POINTS = Family(
    partial(ReLUGenerator, width=128, depth=3), partial(MaxoutDiscriminator, width=64), 1e-3, 0.5
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run whose cause is known.

    Attributes:
        name: of the case.
        label: what its cause leads to.
        cause: in words.
        family: the networks.
        faults: make what is done to the game; none for a run that is well.
        lr: learning rate as a multiple of the family's.
        beta1: Adam's, or None for the family's.
        m: images in a batch.
        n: images in the subset.
        noise: variance of the noise on the latents.
        objective: makes the losses.
        remedies: make the remedies.
        source: makes the data.
        iterations: how long it runs.
        onset: iteration at which the fault acts; 1 if from the beginning.
    """

    name: str
    label: Verdict
    cause: str
    family: Family = CONV
    faults: Sequence[Callable[[], Callback]] = ()
    lr: float = 1.0
    beta1: float | None = None
    m: int = 16
    n: int = 256
    noise: float = 0.0
    objective: Callable[[], Objective] = NonSaturating
    remedies: Sequence[Callable[[], Remedy]] = ()
    source: Callable[[], Source] = Digits
    iterations: int = 250
    onset: int = 1
