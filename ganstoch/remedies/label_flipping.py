"""Label flipping: some of the discriminator's labels are wrong."""

import torch
from torch import Tensor

from ganstoch.remedies.base import DiscriminatorPass, Remedy, RemedySpec


class LabelFlipping(Remedy):
    """Each label t becomes 1 - t with some probability, drawn anew at every update of D.

    A practitioners' trick. Smoothed labels are flipped too, if the smoothing comes first.

    Args:
        probability: of each label's flip, by itself; 0 is the plain GAN.
    """

    def __init__(self, *, probability: float = 0.05) -> None:
        super().__init__()
        self._require(0.0 <= probability <= 1.0, "probability", probability, "in [0, 1]")
        self.probability = probability
        self.spec = RemedySpec(is_noop=probability == 0.0, stochastic=True)

    def targets(
        self, real: Tensor, fake: Tensor, scores: DiscriminatorPass
    ) -> tuple[Tensor, Tensor]:
        """Labels, some of them flipped, shape (logits,) each."""
        return self._flip(real, scores, "real"), self._flip(fake, scores, "fake")

    def _flip(self, labels: Tensor, scores: DiscriminatorPass, of: str) -> Tensor:
        drawn = scores.info.uniform(f"label_flipping/{of}", scores.batch, every=scores.pack)
        return torch.where(drawn < self.probability, 1 - labels, labels)
