"""Weight clipping: the critic's parameters stay in a box [1].

[1] Arjovsky et al. 2017, "Wasserstein GAN", Alg. 1, line 7: w <- clip(w, -c, c) after each of the
critic's updates, which bounds its Lipschitz constant without naming the bound.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.optim import Optimizer

from ganstoch.remedies.base import GANView, Remedy, RemedySpec, StepInfo


class WeightClipping(Remedy):
    """Clips every parameter of the discriminator, biases and batch norm's scales included.

    On a spectrally normalized layer it acts on the weight before that is divided by its norm.

    Args:
        limit: c, above 0; 0.01 in the paper. Infinity is the plain GAN.
    """

    def __init__(self, *, limit: float = 0.01) -> None:
        super().__init__()
        self._require(limit > 0.0, "limit", limit, "above 0")
        self.limit = limit
        self.spec = RemedySpec(is_noop=math.isinf(limit))

    @contextmanager
    def around_discriminator_step(
        self, gan: GANView, step_d: Optimizer, *, info: StepInfo
    ) -> Iterator[None]:
        """Clips after the step."""
        yield
        with torch.no_grad():
            for parameter in gan.discriminator.parameters():
                parameter.clamp_(-self.limit, self.limit)
