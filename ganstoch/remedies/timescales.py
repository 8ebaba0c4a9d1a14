"""Learning rates: one for each player (TTUR), and in proportion to the batch."""

import math
import re
from dataclasses import replace
from typing import Literal

from ganstoch.data.subset import resolve_batch_size
from ganstoch.remedies.base import DataFacts, Remedy, RemedySpec

_POWERS = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}


class Timescales(Remedy):
    """Factors on the learning rates: of each player [1], and of the logical batch size m.

    A player's rate is ``model.optimizer.lr`` times its factor times (m / reference)^p: p = 1 as in
    [2], which is for plain gradient descent, or p = 1/2 as in [3], the rule for Adam. [1] asks for
    two rates and settles them by trial; [4] takes four times the generator's for the discriminator.

    [1] Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule".
    [2] Goyal et al. 2017, "Accurate, Large Minibatch SGD", Sec. 2.1.
    [3] Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms".
    [4] Zhang et al. 2019, "Self-Attention Generative Adversarial Networks", Sec. 4.

    Args:
        discriminator: factor on the discriminator's rate.
        generator: factor on the generator's rate.
        scale: how the rates follow m.
        reference: the m that ``model.optimizer.lr`` is meant for: a number, or a share such as n/4.
    """

    def __init__(
        self,
        *,
        discriminator: float = 1.0,
        generator: float = 1.0,
        scale: Literal["none", "sqrt", "linear"] = "none",
        reference: int | str = "n/4",
    ) -> None:
        super().__init__()
        for name, factor in (("discriminator", discriminator), ("generator", generator)):
            self._require(0.0 < factor < math.inf, name, factor, "above 0")
        self._require(scale in _POWERS, "scale", scale, ", ".join(_POWERS))
        valid = re.fullmatch(r"n(/[1-9]\d*)?|0*[1-9]\d*", str(reference)) is not None
        self._require(valid, "reference", reference, "1 or more, or a share such as n/4")
        self.power, self.reference = _POWERS[scale], reference
        self.factors = discriminator, generator
        is_noop = self.factors == (1.0, 1.0) and self.power == 0.0
        self.spec = RemedySpec(is_noop=is_noop, lr_factors=self.factors)

    def setup(self, facts: DataFacts) -> None:
        """Takes the factor that follows m."""
        share = str(self.reference).startswith("n")
        reference = resolve_batch_size(self.reference, n=facts.n) if share else int(self.reference)
        scale = (facts.m / reference) ** self.power
        discriminator, generator = self.factors
        self.spec = replace(self.spec, lr_factors=(discriminator * scale, generator * scale))
