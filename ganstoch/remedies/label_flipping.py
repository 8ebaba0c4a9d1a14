"""Label flipping: some of the discriminator's labels are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass, Remedy, RemedySpec


class LabelFlipping(Remedy):
    """Each label t becomes 1 - t with some probability, drawn anew at every update of D.

    A practitioners' trick without a paper of its own. Smoothed labels are flipped as they are, if
    the smoothing comes first. A pack has one label. The generator's loss is as it was.

    Args:
        probability: of each label's flip, by itself; 0 is the plain GAN.
    """

    def __init__(self, *, probability: float = 0.05) -> None:
        super().__init__()
        self._require(0.0 <= probability <= 1.0, "probability", probability, "in [0, 1]")
        self.probability = probability
        is_noop = self.probability == 0.0
        self.spec = RemedySpec(is_noop=is_noop, stochastic=True)

    def targets(
        self, real: Tensor, fake: Tensor, scores: DiscriminatorPass
    ) -> tuple[Tensor, Tensor]:
        """Labels, some of them flipped, shape (critiques,) each."""
        return self._flip(real, scores, "real"), self._flip(fake, scores, "fake")

    def _flip(self, labels: Tensor, scores: DiscriminatorPass, of: str) -> Tensor:
        drawn = scores.info.uniform(f"label_flipping/{of}", scores.batch, every=scores.pack)
        return torch.where(drawn < self.probability, 1 - labels, labels)
